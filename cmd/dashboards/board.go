package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// board is what is read of a dashboard's file.
type board struct {
	name       string // of the file, without its ending
	UID        string `json:"uid"`
	Title      string `json:"title"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []annotation `json:"list"`
	} `json:"annotations"`
	Panels []panel `json:"panels"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type variable struct {
	Name        string  `json:"name"`
	Type        string  `json:"type"`
	Label       string  `json:"label"`
	Description string  `json:"description"`
	Datasource  *source `json:"datasource"`
	Query       string  `json:"query"`
	Regex       string  `json:"regex"`
	AllValue    string  `json:"allValue"`
	Multi       bool    `json:"multi"`
	IncludeAll  bool    `json:"includeAll"`
}

type annotation struct {
	Name       string `json:"name"`
	Datasource source `json:"datasource"`
	Target     query  `json:"target"`
}

type grid struct{ X, Y, W, H int }

type panel struct {
	ID          int     `json:"id"`
	Type        string  `json:"type"`
	Title       string  `json:"title"`
	Description string  `json:"description"`
	Grid        grid    `json:"gridPos"`
	Datasource  source  `json:"datasource"`
	Targets     []query `json:"targets"`
	FieldConfig struct {
		Defaults  field      `json:"defaults"`
		Overrides []override `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		TextMode string `json:"textMode"`
	} `json:"options"`
	Transformations []struct {
		ID      string `json:"id"`
		Options struct {
			Exclude map[string]bool   `json:"excludeByName"`
			Index   map[string]int    `json:"indexByName"`
			Rename  map[string]string `json:"renameByName"`
		} `json:"options"`
	} `json:"transformations"`
}

// field is how the values of a panel, or of one column of it, are shown.
type field struct {
	Unit       string    `json:"unit"`
	NoValue    string    `json:"noValue"`
	Max        *float64  `json:"max"`
	Mappings   []mapping `json:"mappings"`
	Color      colour    `json:"color"`
	Thresholds struct {
		Steps []step `json:"steps"`
	} `json:"thresholds"`
	Custom struct {
		Stacking struct {
			Mode string `json:"mode"`
		} `json:"stacking"`
	} `json:"custom"`
}

type colour struct {
	Mode  string `json:"mode"`
	Fixed string `json:"fixedColor"`
}

// step is the colour of values from one on; the first has none.
type step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

type mapping struct {
	Options map[string]struct {
		Text  string `json:"text"`
		Color string `json:"color"`
	} `json:"options"`
}

type override struct {
	Matcher struct {
		ID      string `json:"id"`
		Options string `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		ID    string          `json:"id"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

type query struct {
	Ref        string `json:"refId"`
	Datasource source `json:"datasource"`
	Expr       string `json:"expr"`
	Legend     string `json:"legendFormat"`
	Instant    bool   `json:"instant"`
}

// boards reads all dashboards of a folder.
func boards(folder string) ([]board, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no dashboards in %s", folder)
	}
	if err != nil {
		return nil, err
	}
	all := make([]board, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &all[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[i].name = strings.TrimSuffix(filepath.Base(file), ".json")
	}
	return all, nil
}

// asks are all that a dashboard asks, by the names that the table of expectations has for them.
func (b *board) asks() []string {
	var all []string
	for _, v := range b.Templating.List {
		if v.Type == "query" {
			all = append(all, "variable "+v.Name)
		}
	}
	for _, a := range b.Annotations.List {
		all = append(all, "annotation "+a.Name)
	}
	for _, p := range b.Panels {
		if p.Type != "row" {
			all = append(all, p.Title)
		}
	}
	return all
}
