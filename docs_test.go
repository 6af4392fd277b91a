package gipc_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// maxREADME is how many lines a user reads before deciding.
const maxREADME = 200

func TestDocsREADMEIsShort(t *testing.T) {
	if n := len(readLines(t, "README.md")); n > maxREADME {
		t.Errorf("README.md has %d lines, more than %d: move what is not needed to decide to a page under docs", n, maxREADME)
	}
}

// pages are the documents whose links are checked.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("pages under docs: %d, %v", len(found), err)
	}
	return append([]string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}, found...)
}

func TestDocsLinksResolve(t *testing.T) {
	checked := 0
	for _, page := range pages(t) {
		for _, link := range linksOf(strings.Join(prose(readLines(t, page)), "\n")) {
			if strings.Contains(link, ":") { // a URL with a scheme
				continue
			}
			checked++
			if err := resolve(page, link); err != nil {
				t.Errorf("%s: link to %q: %v", page, link, err)
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d relative links were found: does the search for them work?", checked)
	}
}

// resolve looks for the file that a page links to, and for the heading if the link names one.
func resolve(page, link string) error {
	path, anchor, hasAnchor := strings.Cut(link, "#")
	target := page
	if path != "" {
		target = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
	}
	info, err := os.Stat(target)
	if err != nil || !hasAnchor {
		return err
	}
	if info.IsDir() || filepath.Ext(target) != ".md" {
		return fmt.Errorf("%s has no headings", target)
	}
	lines, err := splitFile(target)
	if err != nil {
		return err
	}
	if !slices.Contains(anchorsOf(lines), anchor) {
		return fmt.Errorf("%s has no heading #%s", target, anchor)
	}
	return nil
}

var (
	codeSpan     = regexp.MustCompile("`[^`]*`")
	inlineLink   = regexp.MustCompile(`\]\(\s*<?([^()\s<>]+)>?(?:\s+"[^"]*")?\s*\)`)
	definition   = regexp.MustCompile(`(?m)^ {0,3}\[[^\]]+\]:[ \t]*<?([^\s<>]+)>?(?:[ \t]+"[^"]*")?[ \t]*$`)
	htmlLink     = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	heading      = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$`)
	linkedText   = regexp.MustCompile(`\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
	fenceOfLines = regexp.MustCompile("^ {0,3}(```+|~~~+)\\s*(\\w*)")
)

// linksOf returns the targets of all links and images in a text without code blocks.
func linksOf(text string) (links []string) {
	// A code span may be the text of a link: only what stands in it is taken away.
	text = codeSpan.ReplaceAllString(text, "``")
	for _, pattern := range []*regexp.Regexp{inlineLink, definition, htmlLink} {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			links = append(links, m[1])
		}
	}
	return links
}

// anchorsOf returns the names under which GitHub finds the headings of a page.
func anchorsOf(lines []string) (anchors []string) {
	seen := map[string]int{}
	for _, line := range prose(lines) {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := slug(m[1])
		n := seen[name]
		seen[name]++
		if n > 0 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		anchors = append(anchors, name)
	}
	return anchors
}

// slug is GitHub's rule: lower case, without punctuation, each space a hyphen.
func slug(title string) string {
	title = linkedText.ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.Mn, r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

func TestDocsSlugs(t *testing.T) {
	page := []string{
		"# What `Close` does", "## One, two & three",
		"```", "# no heading", "```",
		"## Setup", "### Setup", "# [A](b.md) page",
	}
	got := anchorsOf(page)
	want := []string{"what-close-does", "one-two--three", "setup", "setup-1", "a-page"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDocsCodeIsCompiled finds each block of Go code in the pages in an example that the compiler sees.
func TestDocsCodeIsCompiled(t *testing.T) {
	var sources [][]string
	for _, file := range exampleFiles(t) {
		sources = append(sources, trimmed(readLines(t, file)))
	}
	for _, page := range []string{"docs/guide.md", "docs/shared.md", "docs/supervisor.md", "docs/errors.md", "docs/python.md", "docs/performance.md"} {
		blocks := goBlocks(readLines(t, page))
		if len(blocks) == 0 {
			t.Errorf("%s has no Go code", page)
		}
		for _, block := range blocks {
			code := trimmed(block)
			if !slices.ContainsFunc(sources, func(source []string) bool { return containsRun(source, code) }) {
				t.Errorf("%s: no example contains this:\n%s", page, strings.Join(block, "\n"))
			}
		}
	}
}

// exampleFiles are the files that code in the pages may come from.
func exampleFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"example_*_test.go", "example_test.go", "supervisor/example_*_test.go", "pool/example_*_test.go", "bench/internal/codecs/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	err := filepath.WalkDir("examples", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files with examples, %v", len(files), err)
	}
	return files
}

// containsRun says whether code is a run of lines in source.
func containsRun(source, code []string) bool {
	for at := 0; at+len(code) <= len(source); at++ {
		if slices.Equal(source[at:at+len(code)], code) {
			return true
		}
	}
	return false
}

// trimmed returns the lines without indentation, and none that are blank.
func trimmed(lines []string) (kept []string) {
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

// goBlocks returns the blocks of a page that are marked as Go.
func goBlocks(lines []string) (blocks [][]string) {
	eachLine(lines, func(line, language string, first bool) {
		if language != "go" {
			return
		}
		if first {
			blocks = append(blocks, nil)
			return
		}
		blocks[len(blocks)-1] = append(blocks[len(blocks)-1], line)
	})
	return blocks
}

// prose returns the lines outside code blocks.
func prose(lines []string) (kept []string) {
	eachLine(lines, func(line, language string, _ bool) {
		if language == "" {
			kept = append(kept, line)
		}
	})
	return kept
}

// eachLine visits the lines of a page with the language of the code block that they are in: "" outside, "text" in one
// without a language. first marks the line that opens a block. The line that closes it is left out.
func eachLine(lines []string, visit func(line, language string, first bool)) {
	fence, language := "", ""
	for _, line := range lines {
		m := fenceOfLines.FindStringSubmatch(line)
		switch {
		case fence == "" && m != nil:
			fence, language = m[1], m[2]
			if language == "" {
				language = "text"
			}
			visit(line, language, true)
		case fence != "" && m != nil && m[2] == "" && strings.HasPrefix(m[1], fence):
			fence, language = "", ""
		default:
			visit(line, language, false)
		}
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	lines, err := splitFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// splitFile returns a file's lines, with line ends of one byte, whatever git made of them.
func splitFile(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	text := strings.TrimSuffix(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n")
	return strings.Split(text, "\n"), err
}
