// The map of layers by modules. Its rectangles are made once for a shape of vector; after that only
// their colours change. Rows lie at the same heights as those of the effects beside it.

const MAP_HEADER = 96;
const MAP_LABELS = 52;

/** Heights of the rows of the stage: the map's and the effects'. */
function rowGeometry(rows) {
  const height = rows.length <= 12 ? 28 : rows.length <= 34 ? 19 : rows.length <= 60 ? 13 : 10;
  const y = i => MAP_HEADER + i * height + (rows[i] === OUTSIDE && rows.length > 1 ? 6 : 0);
  return {height, y, bottom: rows.length ? y(rows.length - 1) + height : MAP_HEADER, every: height >= 12 ? 1 : 5};
}

function rowLabel(rows, i, geometry) {
  if (rows[i] === OUTSIDE) return 'outside';
  return rows[i] % geometry.every === 0 || geometry.every === 1 ? String(rows[i]) : '';
}

function makeHeatmap(host) {
  const panel = makePanel(host, {id: 'map', title: 'Layers by modules', csv: heatmapCsv});
  panel.tools.append(html('p', {class: 'hint', 'data-screen': 'only'},
    'Click to look closer. Drag, or click with Ctrl, to select; labels select whole rows and columns. Keys: ',
    html('kbd', {}, '?')));
  const map = {panel, figure: null, shape: null, cursor: {row: 0, column: 0}, anchor: null, drag: null};

  const draw = () => {
    const analysis = analysisNow();
    panel.setShown(Boolean(analysis));
    if (!analysis) return;
    const shape = `${store.view.an} ${panel.width()}`;
    if (shape !== map.shape) buildMap(map, analysis, shape);
    paintMap(map, analysis);
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'clip', 'sel', 'at', 'th'], draw);
  whenHovered(hovered => markHovered(map, hovered));
  return {draw, focus: () => map.figure && map.figure.focus()};
}

function buildMap(map, analysis, shape) {
  map.shape = shape;
  const {rows, columns} = analysis;
  const width = map.panel.width();
  const geometry = map.geometry = rowGeometry(rows);
  const right = Math.min(44, width * 0.08);
  map.cellWidth = Math.min(64, (width - MAP_LABELS - right) / columns.length);
  map.cursor = {
    row: clamp(map.cursor.row, -1, rows.length - 1),
    column: clamp(map.cursor.column, -1, columns.length - 1)
  };
  const x = column => MAP_LABELS + column * map.cellWidth;
  map.x = x;

  map.rowLabels = rows.map(
      (layer, i) => svg(
          'text', {class: 'label', x: MAP_LABELS - 7, y: geometry.y(i) + geometry.height / 2 + 4, 'text-anchor': 'end'},
          rowLabel(rows, i, geometry)));
  map.columnLabels = columns.map((module, i) => svg('text', {class: 'label',
    transform: `translate(${x(i) + map.cellWidth / 2 + 3} ${MAP_HEADER - 8}) rotate(-50)`}, shortened(module, 16)));
  map.cells = new Map();
  const gap = map.cellWidth > 14 ? 1.5 : 0.75;
  for (const key of analysis.cells.keys()) {
    const [row, column] = [Math.floor(key / columns.length), key % columns.length];
    map.cells.set(key, svg('rect', {
                    class: 'cell',
                    x: x(column),
                    y: geometry.y(row),
                    width: Math.max(0.5, map.cellWidth - gap),
                    height: geometry.height - (geometry.height > 12 ? 1.5 : 0.75),
                    rx: geometry.height > 12 ? 2 : 0,
                    role: 'gridcell',
                    id: `cell-${row}-${column}`
                  }));
  }
  const byRow = rows.map((layer, row) => svg('g', {role: 'row', 'aria-label': layerTitle(layer)},
    ...columns.map((_, column) => map.cells.get(analysis.cellKey(row, column))).filter(Boolean)));
  map.rowBand =
      svg('rect', {class: 'band', x: 0, width: x(columns.length), height: geometry.height, 'data-screen': 'only'});
  map.columnBand =
      svg('rect', {class: 'band', y: 0, width: map.cellWidth, height: geometry.bottom, 'data-screen': 'only'});
  map.open = svg('rect', {class: 'open'});
  map.cursorMark = svg('rect', {class: 'cursor', 'data-screen': 'only'});
  map.dragMark = svg('rect', {class: 'drag', 'data-screen': 'only'});
  for (const mark of [map.rowBand, map.columnBand, map.open, map.dragMark]) mark.setAttribute('visibility', 'hidden');
  map.legend = svg('g', {});
  map.width = width;
  map.figure =
      svg('svg', {
        class: 'figure map',
        width,
        height: geometry.bottom + 62,
        role: 'grid',
        tabindex: 0,
        id: 'map-grid',
        'aria-label': 'Layers by modules',
        'aria-describedby': 'map-note',
        'aria-rowcount': rows.length,
        'aria-colcount': columns.length
      },
          map.rowBand, map.columnBand, ...map.rowLabels, ...map.columnLabels, ...byRow, map.open, map.dragMark,
          map.cursorMark, map.legend);
  setFigure(map.panel, map.figure);
  listenToMap(map);
  moveCursorMark(map);
}

function mapValues(analysis, v, w, measure) {
  const values = new Map();
  for (const key of analysis.cells.keys()) values.set(key, measure.value(analysis.cell(v, w, key)));
  return values;
}

function mapScale(values, measure) {
  const {log, clip} = store.view;
  return makeScale(
      [...values], {log, clip, centre: measure.centre === undefined ? null : measure.centre, theme: themeNow()});
}

function paintMap(map, analysis) {
  const measure = measureOf(store.view.m);
  const {v} = store.view;
  const w = partnerNow();
  const values = mapValues(analysis, v, w, measure);
  const scale = mapScale(values.values(), measure);
  const selection = selectionNow();
  for (const [key, rect] of map.cells) {
    const value = values.get(key);
    const colour = scale.colour(value);
    const className = 'cell' + (value === null ? ' missing' : colour === null ? ' broken' : '') +
      (!selection ? '' : analysis.cells.get(key).some(site => selection.names.has(site.name)) ? ' picked' : ' faded');
    if (rect.getAttribute('class') !== className) rect.setAttribute('class', className);
    if (colour === null) rect.removeAttribute('fill');
    else if (rect.getAttribute('fill') !== colour) rect.setAttribute('fill', colour);
    rect.setAttribute(
        'aria-label',
        `${
            placeTitle(
                analysis.rows[Math.floor(key / analysis.columns.length)],
                analysis.columns[key % analysis.columns.length])}: ${measure.format(value)}`);
  }
  map.legend.replaceChildren(colourLegend(
      scale, MAP_LABELS, map.geometry.bottom + 14, Math.min(300, map.width - MAP_LABELS - 12), measure.format,
      measure.unit));
  const place = store.view.at === null ? null : placeOf(store.view.at, analysis);
  placeMark(map, map.open, place);
  const names = measure.pair ? [nameOf(analysis.vectors[v].name), ' and ', nameOf(analysis.vectors[w].name)] :
                               [nameOf(analysis.vectors[v].name)];
  map.panel.setNote(`${measure.label}: `, ...names, measure.id === 'sign' ? signNote(analysis, v, w) : '');
}

function signNote(analysis, v, w) {
  const {pair} = analysis.total(v, w);
  if (!pair) return '';
  return `. Over all elements ${formatPercent(numberOf(pair.sign_agreement))} agree, ${
      formatPercent(numberOf(pair.sign_agreement_by_chance))} would by chance; colour is the difference.`;
}

/** Puts a mark around a place: a cell, a row or a column. */
function placeMark(map, mark, place) {
  const analysis = analysisNow();
  if (!place || !analysis) {
    mark.setAttribute('visibility', 'hidden');
    return;
  }
  const row = place.layer === null ? -1 : analysis.rows.indexOf(place.layer);
  const column = place.module === null ? -1 : analysis.columns.indexOf(place.module);
  setBox(mark, boxOf(map, row, column));
}

function boxOf(map, row, column) {
  const {geometry, cellWidth, x} = map;
  const columns = analysisNow().columns.length;
  if (row < 0 && column < 0) return {x: 1, y: 1, width: MAP_LABELS - 4, height: MAP_HEADER - 6};
  if (row < 0) return {x: x(column) - 1, y: MAP_HEADER - 6, width: cellWidth, height: geometry.bottom - MAP_HEADER + 7};
  if (column < 0) return {x: 2, y: geometry.y(row) - 1, width: x(columns) - 2, height: geometry.height};
  return {x: x(column) - 1, y: geometry.y(row) - 1, width: cellWidth + 0.5, height: geometry.height + 0.5};
}

function setBox(mark, box) {
  for (const [key, value] of Object.entries(box)) mark.setAttribute(key, value);
  mark.setAttribute('visibility', 'visible');
}

function markHovered(map, hovered) {
  const analysis = analysisNow();
  if (!map.figure || !analysis) return;
  const row =
      hovered && hovered.layer !== undefined && hovered.layer !== null ? analysis.rows.indexOf(hovered.layer) : -1;
  const column = hovered && hovered.module ? analysis.columns.indexOf(hovered.module) : -1;
  map.rowBand.setAttribute('visibility', row < 0 ? 'hidden' : 'visible');
  if (row >= 0) map.rowBand.setAttribute('y', map.geometry.y(row) - 0.5);
  map.columnBand.setAttribute('visibility', column < 0 ? 'hidden' : 'visible');
  if (column >= 0) map.columnBand.setAttribute('x', map.x(column) - 0.5);
}

/** [title, lines, strong] of a place, -1 standing for a label. */
function mapContent(row, column) {
  const analysis = analysisNow();
  const {v} = store.view;
  const w = partnerNow();
  const layer = row < 0 ? null : analysis.rows[row];
  const module = column < 0 ? null : analysis.columns[column];
  const found = row < 0 ? analysis.module(v, w, column) : column < 0 ? analysis.layer(v, w, row)
    : analysis.cell(v, w, analysis.cellKey(row, column));
  const measure = measureOf(store.view.m);
  const lines = [[measure.label.toLowerCase(), measure.format(measure.value(found))], ...exactLines(found)];
  if (row >= 0 && column >= 0) {
    const sites = analysis.cells.get(analysis.cellKey(row, column)) || [];
    if (sites.length === 0) return [placeTitle(layer, module), [['', 'no such tensor']], -1];
    if (sites.length > 1) lines.push(['tensors', sites.length.toLocaleString('en')]);
  }
  return [placeTitle(layer, module), lines, 0];
}

function heatmapCsv() {
  const analysis = analysisNow();
  const w = partnerNow();
  const rows = [['vector', 'layer', 'module', ...MEASURES.map(measure => measure.id)]];
  analysis.vectors.forEach((vector, v) => {
    const partner = w === v ? store.view.v : w;
    for (const key of analysis.cells.keys()) {
      const found = analysis.cell(v, partner, key);
      if (!found.row) continue;
      rows.push([
        vector.name, analysis.rows[Math.floor(key / analysis.columns.length)],
        analysis.columns[key % analysis.columns.length], ...MEASURES.map(measure => measure.value(found))
      ]);
    }
  });
  return rows;
}
