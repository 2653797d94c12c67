package simcloud

// OperationNames returns the names of everything that the cloud can do, for tests that must miss none of it.
func OperationNames() []string {
	var out []string
	for _, o := range operations() {
		if o.service != metadataService { // which is not on the cloud's port
			out = append(out, o.name)
		}
	}
	return out
}

// Versions returns how many versions of its state an account keeps for lists that lag behind.
func (c *Cloud) Versions(account string) int { return len(*c.findAccount(account).versions.Load()) }

// Styles returns the names of all styles of failures, for tests that must miss none of them.
func Styles() []string { return failureStyles() }

// Writes returns the names of everything that changes something, or makes a key of another identity, for tests that must miss
// none of it. The metadata service makes no difference between callers, and only gives keys of the machine it is on.
func Writes() []string {
	var out []string
	for _, o := range operations() {
		if o.method != "GET" && o.method != "HEAD" && o.service != metadataService {
			out = append(out, o.name)
		}
	}
	return out
}
