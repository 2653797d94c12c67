// Command crop cuts a picture of a page at the lowest line that runs across it, such as the border between two rows of a
// table, so that nothing is shown by half: crop PICTURE.
package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crop PICTURE")
		os.Exit(2)
	}
	if err := crop(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crop:", err)
		os.Exit(1)
	}
}

func crop(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	picture, err := png.Decode(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	all := picture.Bounds()
	// A line is one row of pixels of one colour between two rows of other ones.
	for y := all.Max.Y - 2; y > all.Min.Y+all.Dy()/2; y-- {
		line, ok := uniform(picture, y)
		above, okAbove := uniform(picture, y-1)
		below, okBelow := uniform(picture, y+1)
		if ok && okAbove && okBelow && line != above && line != below {
			return write(name, picture, image.Rect(all.Min.X, all.Min.Y, all.Max.X, y+1))
		}
	}
	return errors.New("no line runs across the lower half of " + name)
}

// uniform returns the colour of a row of pixels, if it has but one within the page's margins.
func uniform(picture image.Image, y int) (color.Color, bool) {
	const margin = 40
	all := picture.Bounds()
	first := picture.At(all.Min.X+margin, y)
	for x := all.Min.X + margin; x < all.Max.X-margin; x++ {
		if picture.At(x, y) != first {
			return nil, false
		}
	}
	return first, true
}

func write(name string, picture image.Image, part image.Rectangle) error {
	cut := image.NewRGBA(part)
	draw.Draw(cut, part, picture, part.Min, draw.Src)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, cut), f.Close())
}
