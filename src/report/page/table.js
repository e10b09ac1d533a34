// Every tensor in a table that is searched and sorted. Only the rows in sight exist.

const ROW_HEIGHT = 28;
const SPARE_ROWS = 6;

const TABLE_COLUMNS = [
  {id: 'name', label: 'tensor', text: true, value: entry => entry.site.name},
  {
    id: 'layer',
    label: 'layer',
    value: entry => entry.site.layer === null ? Infinity : entry.site.layer,
    format: value => value === Infinity ? '' : String(value)
  },
  {id: 'module', label: 'module', text: true, value: entry => entry.site.module},
  {
    id: 'shape',
    label: 'shape',
    value: entry => numberOf(entry.site.elements),
    format: (_, entry) => formatShape(entry.site.shape)
  },
  ...MEASURES.map(measure => ({
                    id: measure.id,
                    label: measure.label.toLowerCase(),
                    measure,
                    value: entry => measure.value(entry),
                    format: measure.format
                  })),
];

/** The test of a tensor's name that a filter says: /regex/, a glob with * or ?, or a part of the name. */
function nameFilter(text) {
  if (text === '') return () => true;
  const regex = /^\/(.+)\/$/.exec(text);
  if (regex) {
    const pattern = regexOf(regex[1]);
    return candidate => pattern.test(candidate);
  }
  if (/[*?]/.test(text)) {
    const pattern = new RegExp(globPattern(text));
    return candidate => pattern.test(candidate);
  }
  const part = text.toLowerCase();
  return candidate => candidate.toLowerCase().includes(part);
}

function makeTable(host) {
  const panel = makePanel(host, {id: 'table', title: 'Every tensor', csv: () => tableCsv(view), figure: false});
  const search = html('input', {
    type: 'search',
    id: 'table-filter',
    placeholder: 'part of a name, glob * ?, or /regex/',
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-describedby': 'table-note',
    oninput: settled(() => setView({q: search.value}), 80)
  });
  panel.tools.append(html('label', {class: 'choice wide'}, html('span', {}, 'filter'), search));
  const header = html('div', {class: 'table-row table-head', role: 'row'});
  const rows = html('div', {class: 'table-rows', role: 'rowgroup'});
  const scroller = html(
      'div', {class: 'table-scroll', role: 'table', tabindex: 0, 'aria-labelledby': 'table-title', id: 'table-scroll'},
      html('div', {role: 'rowgroup', class: 'table-top'}, header), rows);
  panel.body.append(scroller);
  const view = {panel, search, header, rows, scroller, entries: [], pool: [], cursor: -1, columns: [], error: null};

  const draw = () => {
    const analysis = analysisNow();
    panel.setShown(Boolean(analysis));
    if (!analysis) return;
    if (document.activeElement !== search) search.value = store.view.q;
    fillTable(view, analysis);
  };
  const paint = framed(() => paintRows(view));
  scroller.addEventListener('scroll', paint, {passive: true});
  scroller.addEventListener('keydown', event => tableKey(view, event));
  whenChanged(['an', 'v', 'w', 'sel', 'q', 'sort', 'down'], draw);
  whenChanged(['t'], () => paintRows(view));
  return {draw, focusSearch: () => { search.focus(); search.select(); }, paint};
}

function fillTable(view, analysis) {
  const {v, sort, down, q} = store.view;
  const w = partnerNow();
  const measures = analysis.measures || measuresIn(analysis);
  view.columns = TABLE_COLUMNS.filter(column => !column.measure || measures.includes(column.measure));
  let test = () => true;
  view.error = null;
  try {
    test = nameFilter(q);
  } catch (error) {
    view.error = error instanceof SelectionError ? error.message : 'this filter cannot be read';
  }
  const selection = selectionNow();
  view.entries = analysis.sites.filter(site => (!selection || selection.names.has(site.name)) && test(site.name))
    .map(site => ({site, ...analysis.together(v, w, [site])}));
  const column = view.columns.find(known => known.id === sort) || view.columns[0];
  const sign = down ? -1 : 1;
  const keys = new Map(view.entries.map(entry => [entry, column.value(entry)]));
  const missing = value => value === null || value === undefined || Number.isNaN(value);
  view.entries.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    if (column.text) return sign * x.localeCompare(y, 'en', {numeric: true});
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
  view.header.replaceChildren(...view.columns.map(known => {
    const isSorted = known === column;
    return html(
        'span', {
          role: 'columnheader',
          class: `column ${known.id}`,
          'aria-sort': isSorted ? (down ? 'descending' : 'ascending') : 'none'
        },
        html(
            'button', {
              type: 'button',
              class: 'sorter',
              'data-sort': known.id,
              onclick: () => setView(isSorted ? {down: !down} : {sort: known.id, down: !known.text})
            },
            known.label, isSorted ? html('span', {'aria-hidden': 'true'}, down ? ' ↓' : ' ↑') : null));
  }));
  view.scroller.style.setProperty('--columns', tableTracks(view.columns));
  view.scroller.setAttribute('aria-rowcount', view.entries.length + 1);
  view.rows.style.height = `${view.entries.length * ROW_HEIGHT}px`;
  view.pool.forEach(row => row.remove());
  view.pool = [];
  view.cursor = clamp(view.cursor, -1, view.entries.length - 1);
  paintRows(view);
  view.panel.setNote(
      view.error ? html('span', {class: 'problem'}, view.error) :
          view.entries.length === analysis.sites.length ?
                   plural(analysis.sites.length, 'tensor') :
                   `${view.entries.length.toLocaleString('en')} of ${plural(analysis.sites.length, 'tensor')}`,
      selection && !view.error ? ', in the selection' : '');
}

function tableTracks(columns) {
  return columns
      .map(
          column => column.id === 'name' ? 'minmax(15rem, 3fr)' :
              column.id === 'layer'      ? '3.6rem' :
              column.id === 'module'     ? 'minmax(7rem, 1.2fr)' :
                                           'minmax(6.6rem, 1fr)')
      .join(' ');
}

function makeRow(view) {
  const cells = view.columns.map(column => html('span', {role: 'cell', class: `column ${column.id}`}));
  const row = html('div', {class: 'table-row', role: 'row'}, ...cells);
  row.addEventListener('click', () => openRow(view, row.at));
  row.addEventListener('pointermove', event => {
    const entry = view.entries[row.at];
    if (!entry) return;
    setHover({layer: entry.site.layer === null ? OUTSIDE : entry.site.layer, module: entry.site.module});
    const column = [...row.children].indexOf(event.target.closest('.column'));
    const known = view.columns[column];
    if (known && known.measure)
      showTip(
          event.clientX, event.clientY, shortened(entry.site.name, 60), [[known.label, exact(known.value(entry))]], 0);
    else showTip(event.clientX, event.clientY, visible(entry.site.name), exactLines(entry));
  });
  row.addEventListener('pointerleave', () => {
    hideTip();
    setHover(null);
  });
  row.cells = cells;
  view.rows.append(row);
  return row;
}

function paintRows(view) {
  if (view.panel.section.hidden) return;
  const first = Math.max(0, Math.floor(view.scroller.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
  const count = Math.min(
      view.entries.length - first, Math.ceil((view.scroller.clientHeight || 420) / ROW_HEIGHT) + 2 * SPARE_ROWS);
  while (view.pool.length < count) view.pool.push(makeRow(view));
  view.pool.forEach((row, i) => {
    const at = first + i;
    const entry = view.entries[at];
    row.hidden = i >= count || !entry;
    if (row.hidden) return;
    row.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    row.classList.toggle('current', entry.site.name === store.view.t);
    row.classList.toggle('cursor', at === view.cursor);
    if (row.entry === entry) return;
    row.entry = entry;
    row.at = at;
    row.setAttribute('aria-rowindex', at + 2);
    view.columns.forEach((column, k) => {
      const value = column.value(entry);
      row.cells[k].textContent = column.text ? visible(value) : column.format(value, entry);
    });
  });
}

function openRow(view, at) {
  const entry = view.entries[at];
  if (!entry) return;
  view.cursor = at;
  setView({t: store.view.t === entry.site.name ? null : entry.site.name});
  paintRows(view);
}

function tableKey(view, event) {
  const page = Math.floor(view.scroller.clientHeight / ROW_HEIGHT) - 1;
  const moves = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity};
  if (event.target !== view.scroller) return;
  if (event.key in moves) {
    event.preventDefault();
    view.cursor = clamp(view.cursor + moves[event.key], 0, view.entries.length - 1);
    const top = view.cursor * ROW_HEIGHT;
    const seen = view.scroller.clientHeight - 2 * ROW_HEIGHT;
    if (top < view.scroller.scrollTop) view.scroller.scrollTop = top;
    else if (top > view.scroller.scrollTop + seen) view.scroller.scrollTop = top - seen;
    paintRows(view);
    const entry = view.entries[view.cursor];
    if (entry) say(`${visible(entry.site.name)}, norm ${entry.row ? exact(numberOf(entry.row.norm)) : 'none'}`);
  } else if (event.key === 'Enter' && view.cursor >= 0) {
    openRow(view, view.cursor);
  }
}

function tableCsv(view) {
  return [
    view.columns.map(column => column.id),
    ...view.entries.map(
        entry => view.columns.map(
            column => column.id === 'shape' ? formatShape(entry.site.shape) :
                column.id === 'layer'       ? entry.site.layer :
                                              column.value(entry)))
  ];
}
