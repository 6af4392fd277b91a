package main

import (
	"io/fs"
	"log"
	"path/filepath"
	"slices"
)

// list returns the paths of all regular files below the roots, each once, in order.
func list(roots []string) (paths []string) {
	for _, root := range roots {
		root, err := filepath.EvalSymlinks(root) // a link below the root is not followed
		if err != nil {
			log.Fatal(err)
		}
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				log.Print("not listed: ", err)
			case d.IsDir() && d.Name() == ".git":
				return fs.SkipDir
			case d.Type().IsRegular():
				paths = append(paths, path)
			}
			return nil
		})
	}
	return slices.Compact(slices.Sorted(slices.Values(paths))) // roots may overlap
}
