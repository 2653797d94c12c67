// What a dashboard of the folder beside this one may have: Grafana's own types, made as strict as JSON needs them. Grafana's Panel leaves
// open what its plugins add (options, custom fields, targets); here each kind of panel has the types of its own plugin, so that an option
// of another one, or none, is an error. What @grafana/schema does not have, since it belongs to the data source, is written down by hand.
import type * as grafana from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** A type as JSON writes it: the values of enumerations instead of their names. Flat, so that no excess property passes. */
type Json<T> = T extends string ? `${T}` : T extends (infer E)[] ? Json<E>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

interface DataSource {
  type: 'prometheus';
  uid: '${datasource}';
}

/** A query of the Prometheus data source. */
interface Query {
  refId: string;
  datasource: DataSource;
  editorMode: 'code';
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
  format: 'time_series' | 'table';
  interval?: string;
}

interface Link {
  title: string;
  url: string;
  targetBlank: boolean;
}

/** What an override may set, by the id of the property. */
type Property =
  | { id: 'color'; value: grafana.FieldColor }
  | { id: 'links'; value: Link[] }
  | { id: 'mappings'; value: grafana.ValueMapping[] }
  | { id: 'noValue' | 'unit'; value: string }
  | { id: 'custom.cellOptions'; value: grafana.TableCellOptions }
  | { id: 'custom.fillOpacity' | 'custom.width'; value: number }
  | { id: 'custom.hideFrom'; value: grafana.HideSeriesConfig }
  | { id: 'custom.lineStyle'; value: grafana.LineStyle };

/** Columns of a table: left out, put in order, renamed. Or several queries in one table. */
type Transformation =
  | { id: 'merge'; options: Record<string, never> }
  | {
      id: 'organize';
      options: {
        excludeByName: Record<string, true>;
        includeByName: Record<string, true>;
        indexByName: Record<string, number>;
        renameByName: Record<string, string>;
      };
    };

type Of<Kind extends string, Options, Custom> = Omit<
  grafana.Panel, 'type' | 'datasource' | 'targets' | 'options' | 'fieldConfig' | 'transformations' | 'id' | 'title' | 'description' | 'gridPos'
> & {
  id: number;
  type: Kind;
  title: string;
  description: string;
  gridPos: grafana.GridPos;
  datasource: DataSource;
  targets: Query[];
  options: Options;
  fieldConfig: {
    defaults: Omit<grafana.FieldConfig, 'custom' | 'links' | 'unit' | 'noValue'> & { custom?: Custom; links?: Link[]; unit: string; noValue: string };
    overrides: { matcher: { id: 'byName' | 'byRegexp'; options: string }; properties: Property[] }[];
  };
  transformations?: Transformation[];
};

type Panel =
  | Of<'stat', stat.Options, never>
  | Of<'bargauge', bargauge.Options, never>
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Of<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | Of<'table', table.Options, table.FieldConfig>
  | grafana.RowPanel;

type Variable = Omit<grafana.VariableModel, 'datasource' | 'query'> & { datasource?: DataSource; query: string; description: string };

/** An annotation of the Prometheus data source, which adds the three formats. */
type Annotation = Omit<grafana.AnnotationQuery, 'datasource' | 'target'> & {
  datasource: DataSource;
  target: Query;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
};

export type Dashboard = Json<
  Omit<grafana.Dashboard, 'panels' | 'templating' | 'annotations'> & {
    uid: string;
    title: string;
    description: string;
    panels: Panel[];
    templating: { list: Variable[] };
    annotations: { list: Annotation[] };
  }
>;
