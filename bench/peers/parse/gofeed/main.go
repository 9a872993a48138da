// gofeed_bench REPS FILE|FOLDER…: gofeed's universal parser over feeds in memory, one thread. Prints a JSON line: best of REPS, processor time of the whole
// process, the collector's threads included.
package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/mmcdole/gofeed"
)

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func parse(document []byte) (feed *gofeed.Feed) {
	defer func() {
		if recover() != nil {
			feed = nil
		}
	}()
	feed, err := gofeed.NewParser().Parse(bytes.NewReader(document))
	if err != nil {
		return nil
	}
	return feed
}

func main() {
	runtime.GOMAXPROCS(1)
	reps, _ := strconv.Atoi(os.Args[1])
	var documents [][]byte
	size := 0
	for _, name := range os.Args[2:] {
		filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && (filepath.Ext(path) == ".xml" || filepath.Ext(path) == ".json") {
				document, _ := os.ReadFile(path)
				documents = append(documents, document)
				size += len(document)
			}
			return nil
		})
	}
	best, parsed, entries := 1e9, 0, 0
	for rep := 0; rep < reps; rep++ {
		start := cpu()
		parsed, entries = 0, 0
		for _, document := range documents {
			if feed := parse(document); feed != nil {
				parsed++
				entries += len(feed.Items)
			}
		}
		best = min(best, cpu()-start)
	}
	mb := float64(size) / 1e6
	json.NewEncoder(os.Stdout).Encode(map[string]any{"parser": "gofeed", "files": len(documents), "parsed": parsed, "entries": entries, "mb": mb, "s": best, "mb_s": mb / best, "entries_s": float64(entries) / best})
}
