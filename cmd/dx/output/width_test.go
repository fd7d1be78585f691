package output

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dx/cmd/dx/output/outputtest"
)

func TestCut(t *testing.T) {
	long := strings.Repeat("é", MaxText)
	for text, want := range map[string]string{
		"short":                         "short",
		"/c/" + outputtest.WebID + "/x": "/c/8e058298222c…/x",
		long:                            long,
		long + "é":                      strings.Repeat("é", MaxText-1) + "…",
		strings.Repeat("ab", 64) + "/x": strings.Repeat("ab", 49) + "a…", // 128 digits are no ID
	} {
		if got := Cut(text); got != want || utf8.RuneCountInString(got) > MaxText {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := ShortID(outputtest.WebID) + " " + ShortID("x"); got != "8e058298222c x" {
		t.Error(got)
	}
}

func TestWrap(t *testing.T) {
	got := Wrap([]string{"a", "bc", "d", "much-too-long", "e"}, 4)
	if diff := cmp.Diff([]string{"a bc", "d", "much-too-long", "e"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestJoinFew(t *testing.T) {
	names := []string{"a", "b", "c"}
	for want, got := range map[string]string{
		"a = b and 1 more": JoinFew(names, " = ", 2, false), "a, b, c": JoinFew(names, ", ", 3, false),
		"a b c": JoinFew(names, " ", 1, true), "": JoinFew(nil, ", ", 2, false),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
