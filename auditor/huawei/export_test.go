package huawei

import (
	"net/http"
	"time"
)

// WrapTransport puts something between the wires and the network.
func (c *Cloud) WrapTransport(wrap func(http.RoundTripper) http.RoundTripper) {
	c.transport = wrap(c.transport)
}

// Hasten makes the pauses short, for tests on a real network, where no clock can be moved.
func (c *Cloud) Hasten() {
	c.pauses.retry, c.pauses.throttled, c.pauses.throttledMost = time.Microsecond, time.Microsecond, time.Microsecond
	c.pauses.recovery = time.Microsecond
	c.pauses.cloud.patience, c.pauses.main.patience = 0, 0
	c.pauses.cloud.haste, c.pauses.main.haste = 0, 0
}

// UseLight puts a light client in the SDK's place: the same requests over the same wire, and the same values from the answers.
func (c *Cloud) UseLight() { c.dial = dialLight }

// NoMeter is a Meter that keeps nothing, for others to build on.
type NoMeter = noMeter
