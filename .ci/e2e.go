// Command e2e has the two parts of the script beside it that a shell is no good at. `e2e pager` is at the end of the wire: it takes
// what Alertmanager sends to a webhook, and writes each alert of it on a line, as JSON with the time at which it arrived. `e2e faster
// PACE` reads rules, routes or a configuration of Prometheus and writes it with every duration divided by that.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
)

func main() {
	err := errors.New("usage: e2e pager | e2e faster PACE <rules >faster")
	switch {
	case len(os.Args) == 2 && os.Args[1] == "pager":
		err = pager()
	case len(os.Args) == 3 && os.Args[1] == "faster":
		err = faster(os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// alert is one alert of a notification, by Alertmanager's names.
type alert struct {
	At          time.Time         `json:"at"`
	Path        string            `json:"path"`
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// pager says on standard error where it listens.
func pager() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "http://"+listener.Addr().String())
	var mu sync.Mutex // one notification after the other, so that no two share a line
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var notification struct{ Alerts []alert }
		if err := json.NewDecoder(r.Body).Decode(&notification); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range notification.Alerts {
			a.At, a.Path = time.Now().UTC(), r.URL.Path
			if err := out.Encode(a); err != nil {
				fmt.Fprintln(os.Stderr, "e2e:", err)
			}
		}
	})}
	return server.Serve(listener)
}

// patience is how long something is waited for, by the keys of rules, routes and Prometheus, and what a rule looks back on: [1h], offset 1m,
// and time() - 60.
var patience = regexp.MustCompile(`(\b(?:for|keep_firing_for|group_wait|scrape_timeout|\w*interval): *"?|\[|\boffset |\btime\(\) - )(\d\w*)`)

// faster leaves a second at least, and everything else as it is. What looks back by a minute or two does so by as many of what a minute
// becomes: it looks at evaluations, which are a minute apart.
func faster(pace string) error {
	n, err := strconv.ParseInt(pace, 10, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no pace", pace)
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	sooner := func(d time.Duration) time.Duration {
		return max(time.Second, (d / time.Duration(n)).Truncate(time.Second))
	}
	found := 0
	fast := patience.ReplaceAllStringFunc(string(text), func(waits string) string {
		m := patience.FindStringSubmatch(waits)
		found++
		key, value, unit := m[1], m[2], ""
		if key == "time() - " {
			unit = "s"
		}
		parsed, e := model.ParseDuration(value + unit)
		err = errors.Join(err, e)
		d := time.Duration(parsed)
		if (key == "offset " || key == "time() - ") && d%time.Minute == 0 && d <= 2*time.Minute {
			d = d / time.Minute * sooner(time.Minute)
		} else {
			d = sooner(d)
		}
		if unit == "s" {
			return key + strconv.Itoa(int(d.Seconds()))
		}
		return key + model.Duration(d).String()
	})
	if err == nil && found == 0 {
		err = errors.New("nothing has a duration")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d durations are divided by %d", found, n)
	_, err = os.Stdout.WriteString(fast)
	return err
}
