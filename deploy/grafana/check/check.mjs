// Has the TypeScript compiler read each dashboard as a literal of the type in dashboard.ts, and then dashboards that are broken on
// purpose, each of which it has to reject. Places in its complaints are lines and columns of the JSON file. The folder of the dashboards
// is the one beside this file's, or the one that is named: .ci/grafana runs a copy of this where node_modules are in nobody's way.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? path.join(here, '..', 'dashboards');
const options = {
  strict: true, noEmit: true, types: [], skipLibCheck: true,
  target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
};
const head = "import type {Dashboard} from './dashboard'; const d: Dashboard = ";
const kept = new Map(); // the library's files, parsed once

/** What the compiler says of texts of JSON, by the name of each. */
function complaints(texts) {
  const sources = new Map([...texts].map(([name, text]) => [path.join(here, name + '.ts'), head + text + '; export default d;\n']));
  const host = ts.createCompilerHost(options);
  const {fileExists, getSourceFile} = host;
  host.fileExists = (file) => sources.has(path.normalize(file)) || fileExists(file);
  host.getSourceFile = (file, ...more) => {
    const source = sources.get(path.normalize(file));
    if (source !== undefined) return ts.createSourceFile(file, source, options.target, true);
    if (!kept.has(file)) kept.set(file, getSourceFile(file, ...more));
    return kept.get(file);
  };
  const said = new Map([...texts.keys()].map((name) => [name, []]));
  for (const d of ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host))) {
    const name = d.file && path.basename(d.file.fileName, '.ts');
    const message = ts.flattenDiagnosticMessageText(d.messageText, '\n    ');
    if (!said.has(name)) throw new Error(`${name ?? 'the compiler'}: ${message}`);
    const {line, character} = d.file.getLineAndCharacterOfPosition(d.start);
    said.get(name).push(`${line + 1}:${line === 0 ? character - head.length + 1 : character + 1}: ${message}`);
  }
  return said;
}

const texts = new Map(fs.readdirSync(folder).filter((f) => f.endsWith('.json')).map((f) => [f, fs.readFileSync(path.join(folder, f), 'utf8')]));
let faults = 0;
for (const [name, lines] of complaints(texts)) {
  for (const line of lines) console.error(`dashboards/${name}:${line}`);
  faults += lines.length;
}
if (texts.size === 0 || faults > 0) process.exit(1);

// Each change has to be noticed in every dashboard that has the place which it changes.
const first = (d, type) => d.panels.find((p) => p.type === type);
const ways = {
  'a field that no dashboard has': (d) => { d.colour = 'blue'; },
  'a number for the title': (d) => { d.title = 1; },
  'no version of the schema': (d) => { delete d.schemaVersion; },
  'a panel without a description': (d) => { delete first(d, 'stat').description; },
  'a panel of an unknown kind': (d) => { first(d, 'stat').type = 'stats'; },
  'a misspelt option': (d) => { const o = first(d, 'stat').options; o.graphmode = o.graphMode; },
  'an option that is missing': (d) => { delete first(d, 'stat').options.reduceOptions; },
  'a value that an option cannot have': (d) => { first(d, 'stat').options.textMode = 'names'; },
  'an option of another kind of panel': (d) => { first(d, 'timeseries').options.showUnfilled = true; },
  'a custom field that lines do not have': (d) => { first(d, 'timeseries').fieldConfig.defaults.custom.cellOptions = {type: 'auto'}; },
  'a width in words': (d) => { first(d, 'timeseries').gridPos.w = '8'; },
  'a threshold without a colour': (d) => { delete first(d, 'stat').fieldConfig.defaults.thresholds.steps[0].color; },
  'a colour mode that does not exist': (d) => { first(d, 'stat').fieldConfig.defaults.color.mode = 'traffic-light'; },
  'an unknown property of an override': (d) => {
    first(d, 'table').fieldConfig.overrides[0].properties[0].id = 'novalue';
  },
  'a transformation that does not exist': (d) => { first(d, 'table').transformations[0].id = 'organise'; },
  'a data source that is no variable': (d) => { first(d, 'table').datasource.uid = 'P1809F7CD0C75ACF3'; },
  'a query without an expression': (d) => { delete first(d, 'table').targets[0].expr; },
  'a variable of an unknown type': (d) => { d.templating.list[0].type = 'prometheus'; },
  'a variable that is sorted by a word': (d) => { d.templating.list[1].sort = 'asc'; },
  'an annotation without a colour': (d) => { delete d.annotations.list[0].iconColor; },
  'a link without a tooltip': (d) => { delete d.links[0].tooltip; },
};
const broken = new Map();
for (const [name, text] of texts) {
  for (const [way, change] of Object.entries(ways)) {
    const d = JSON.parse(text);
    change(d);
    broken.set(`${name} with ${way}`, JSON.stringify(d, null, 2));
  }
}
for (const [name, lines] of complaints(broken)) {
  if (lines.length === 0) {
    console.error(`not rejected: ${name}`);
    faults++;
  }
}
if (faults > 0) process.exit(1);
console.log(`types: ${texts.size} dashboards are as Grafana's types say; ${broken.size} that were broken on purpose were rejected`);
