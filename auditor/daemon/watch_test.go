package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// looks runs watchLoop for a while of virtual time, beside something that sends events, and returns when it looked.
func looks(t *testing.T, while time.Duration, events func(ctx context.Context, to chan<- int)) []time.Duration {
	t.Helper()
	var at []time.Duration
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), while)
		defer cancel()
		began, to := time.Now(), make(chan int)
		go events(ctx, to)
		watchLoop(ctx, to, nil, func(error) { at = append(at, time.Since(began)) })
	})
	return at
}

// every sends an event again and again.
func every(pause time.Duration) func(ctx context.Context, to chan<- int) {
	return func(ctx context.Context, to chan<- int) {
		for tick := time.NewTicker(pause); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case <-ctx.Done():
			case to <- 0:
			}
		}
	}
}

// Whatever goes on in the folder beside the files, a change of them is found soon; and if nobody says anything, late.
func TestAChangeIsLookedFor(t *testing.T) {
	busy := looks(t, time.Minute, every(settle/3))
	last := time.Duration(0)
	for _, at := range append(busy, time.Minute) {
		if at-last > unsettled+settle {
			t.Errorf("it does not look from %s to %s", last, at)
		}
		last = at
	}
	if most := int(time.Minute/unsettled) + 3; len(busy) > most {
		t.Errorf("it looks %d times a minute, want at most %d", len(busy), most)
	}
	quiet := looks(t, 5*time.Minute, func(context.Context, chan<- int) {})
	if want := 5*int(time.Minute/lookAnyway) + 1; len(quiet) < want-1 || len(quiet) > want {
		t.Errorf("without events it looks at %v", quiet)
	}
	once := looks(t, 10*time.Second, every(7*time.Second))
	if len(once) != 2 || once[1] != 7*time.Second+settle {
		t.Errorf("it looks at %v after an event at 7 s", once)
	}
}

func TestTheFoldersThatAreWatched(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	for _, folder := range []string{"app/..1", "releases/v1", "etc"} {
		if err := os.MkdirAll(at(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"app/..1/c.yaml", "releases/v1/c.yaml", "etc/plain.yaml"} {
		write(t, at(file), "x", 0o600)
	}
	for link, to := range map[string]string{
		"app/..data": "..1", "app/c.yaml": "..data/c.yaml", "current": "releases/v1", "etc/far.yaml": at("etc/near.yaml"),
		"etc/near.yaml": "../current/c.yaml", "etc/round.yaml": "round.yaml", "etc/dead.yaml": "../nowhere/at/all.yaml",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		"etc/plain.yaml":     "etc",
		"app/c.yaml":         "app app/..1",
		"etc/far.yaml":       "etc releases/v1",
		"current/c.yaml":     "releases/v1",
		"etc/round.yaml":     "etc",
		"etc/dead.yaml":      " etc", // nowhere would be made in the folder itself
		"etc/none.yaml":      "etc",
		"nowhere/or/no.yaml": "",
	} {
		var got []string
		for _, f := range (sources{at(file): {}}).folders() {
			got = append(got, strings.TrimPrefix(strings.TrimPrefix(f, dir), "/"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: watches %q, want %q", file, got, want)
		}
	}
}

// A file behind a link is replaced where it is; then its folder is deleted, and made again.
func TestAChangeBehindALinkIsNoticed(t *testing.T) {
	var behind string
	l := startLoopWith(t, func(_ *loop, o *Options) {
		file := o.Config.file
		behind = filepath.Join(filepath.Dir(filepath.Dir(file)), "behind", "agencyaudit.yaml")
		for _, err := range []error{
			os.Mkdir(filepath.Dir(behind), 0o700), os.Rename(file, behind), os.Symlink(behind, file),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if o.Config, err = LoadConfig(file); err != nil {
			t.Fatal(err)
		}
	}, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	text := func(comment string) string {
		return "# " + comment + "\n" + l.config(hourly, l.named("exact-baseline")...)
	}
	write(t, behind+".new", text("replaced"), 0o600)
	if err := os.Rename(behind+".new", behind); err != nil {
		t.Fatal(err)
	}
	if run := l.next(); run.Trigger != triggerReload {
		t.Errorf("trigger %q", run.Trigger)
	}
	if err := os.RemoveAll(filepath.Dir(behind)); err != nil {
		t.Fatal(err)
	}
	l.has("agencyaudit_config_reload_success 0")
	if err := os.Mkdir(filepath.Dir(behind), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, comment := range []string{"made again", "and replaced again"} {
		write(t, behind, text(comment), 0o600)
		if run := l.next(); run.Trigger != triggerReload {
			t.Errorf("%s: trigger %q", comment, run.Trigger)
		}
	}
	l.has("agencyaudit_config_reload_success 1")
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}
