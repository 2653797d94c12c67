package huawei

import "net/http"

// WrapTransport puts something between the wires and the network.
func (c *Cloud) WrapTransport(wrap func(http.RoundTripper) http.RoundTripper) {
	c.transport = wrap(c.transport)
}
