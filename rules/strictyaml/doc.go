// Package strictyaml decodes YAML documents strictly and reports every fault of a document at once, each with its place
// and its remedy.
package strictyaml
