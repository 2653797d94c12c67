//go:build !failpoints

package remedy

// passing and tearing are where a program that was built with the tag failpoints can be made to end at once, as by a kill. This one
// was not, and there is nothing of it in here.
func passing(string, Kind) {}

func tearing(File, []byte, int64, Kind) {}
