// Several vectors side by side on one scale of colours, the difference of two, and all their cosines.

function makeCompare(host) {
  const panel = makePanel(host, {id: 'compare', title: 'Vectors side by side', csv: () => compareCsv()});
  const view = {panel, boxes: []};
  const draw = () => {
    const analysis = analysisNow();
    const shown = Boolean(analysis) && analysis.vectors.length > 1;
    panel.setShown(shown);
    if (shown) drawCompare(view, analysis);
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'clip', 'sel', 'th'], draw);
  whenHovered(hovered => {
    for (const {mark, rows, place} of view.boxes) {
      const row = hovered && hovered.layer !== undefined && hovered.layer !== null ? rows.indexOf(hovered.layer) : -1;
      mark.setAttribute('visibility', row < 0 ? 'hidden' : 'visible');
      if (row >= 0) mark.setAttribute('y', place.y + row * place.height - 0.5);
    }
  });
  return {draw};
}

/** The measure by which vectors are compared: one that each has for itself. */
function comparedMeasure() {
  const measure = measureOf(store.view.m);
  return measure.pair ? measureOf('relative') : measure;
}

function drawCompare(view, analysis) {
  const {panel} = view;
  const measure = comparedMeasure();
  const {v} = store.view;
  const w = partnerNow();
  const width = panel.width();
  const count = analysis.vectors.length + 1;
  const perRow = Math.max(1, Math.min(count, Math.floor(width / 210)));
  const gap = 26;
  const mapWidth = Math.floor(Math.min(420, (width - 34 - (perRow - 1) * gap) / perRow));
  const cellHeight = analysis.rows.length <= 34 ? 9 : analysis.rows.length <= 60 ? 6 : 4;
  const mapHeight = analysis.rows.length * cellHeight;
  const blockHeight = mapHeight + 40;
  const lines = Math.ceil(count / perRow);
  const figure = svg('svg', {
    class: 'figure',
    width,
    height: lines * blockHeight + 66,
    role: 'group',
    'aria-labelledby': 'compare-title',
    'aria-describedby': 'compare-note'
  });
  const values = analysis.vectors.map((_, i) => mapValues(analysis, i, null, measure));
  const scale = mapScale(values.flatMap(map => [...map.values()]), measure);
  const differences = new Map([...analysis.cells.keys()].map(key => {
    const [a, b] = [values[v].get(key), values[w].get(key)];
    return [key, a === null || b === null ? null : a - b];
  }));
  const differenceScale = makeScale([...differences.values()], {clip: store.view.clip, centre: 0, theme: themeNow()});
  view.boxes = [];
  const place = i => ({
    x: 34 + (i % perRow) * (mapWidth + gap),
    y: 26 + Math.floor(i / perRow) * blockHeight,
    width: mapWidth,
    height: cellHeight
  });
  analysis.vectors.forEach(
      (vector, i) => smallMap(
          view, figure, analysis, place(i), shortened(vector.name, Math.floor(mapWidth / 7)), visible(vector.name),
          values[i], scale, measure.format, i, i === v));
  const difference = `${shortened(analysis.vectors[v].name, 18)} less ${shortened(analysis.vectors[w].name, 18)}`;
  const signed = value => (value > 0 ? '+' : '') + measure.format(value);
  smallMap(
      view, figure, analysis, place(count - 1), shortened(difference, Math.floor(mapWidth / 7)), difference,
      differences, differenceScale, signed, null, false);
  const legendWidth = Math.min(260, (width - 90) / 2);
  const y = lines * blockHeight + 14;
  figure.append(colourLegend(scale, 34, y, legendWidth, measure.format, 'one scale for all'),
    colourLegend(differenceScale, 34 + legendWidth + 56, y, legendWidth, signed, 'difference'));
  setFigure(panel, figure);
  if (analysis.pairs.size > 0) panel.body.append(cosineTable(analysis));
  panel.setNote(`${measure.label}, ${
      measure.unit}. Rows are layers, columns modules, as in the map above; a click on a map chooses its vector.`);
}

function smallMap(view, figure, analysis, place, title, full, values, scale, format, v, isChosen) {
  const {columns, rows} = analysis;
  const cellWidth = place.width / columns.length;
  const group = svg('g', {class: 'small-map' + (isChosen ? ' chosen-map' : '')});
  group.append(svg('text', {class: 'section-label', x: place.x, y: place.y - 9}, title));
  const selection = selectionNow();
  for (const [key, value] of values) {
    const [row, column] = [Math.floor(key / columns.length), key % columns.length];
    const colour = scale.colour(value);
    const faded = selection && !analysis.cells.get(key).some(site => selection.names.has(site.name));
    group.append(svg('rect', {
      class: 'cell' +
          (value === null      ? ' missing' :
               colour === null ? ' broken' :
                                 '') +
          (faded ? ' faded' : ''),
      fill: colour,
      x: (place.x + column * cellWidth).toFixed(2),
      y: place.y + row * place.height,
      width: (cellWidth - 0.6).toFixed(2),
      height: place.height - 0.6
    }));
  }
  const every = rows.length <= 12 ? 1 : rows.length <= 40 ? 4 : 10;
  rows.forEach((layer, row) => {
    if (layer !== OUTSIDE && layer % every === 0)
      group.append(svg(
          'text',
          {class: 'tiny', x: place.x - 5, y: place.y + row * place.height + place.height / 2 + 3, 'text-anchor': 'end'},
          layer));
  });
  const mark = svg('rect', {
    class: 'band',
    x: place.x,
    width: place.width,
    height: place.height,
    visibility: 'hidden',
    'data-screen': 'only'
  });
  group.append(mark);
  view.boxes.push({mark, rows, place});
  const area = svg('rect', {
    class: 'catcher',
    x: place.x,
    y: place.y,
    width: place.width,
    height: rows.length * place.height,
    tabindex: v === null ? null : 0,
    role: v === null ? null : 'button',
    'aria-label': v === null ? null : `Show ${full}`,
    id: `small-${v}`,
    'data-screen': 'only'
  });
  area.addEventListener('pointermove', framed(event => {
    const box = area.getBoundingClientRect();
    const row = clamp(Math.floor((event.clientY - box.top) / place.height), 0, rows.length - 1);
    const column = clamp(Math.floor((event.clientX - box.left) / cellWidth), 0, columns.length - 1);
    const value = values.get(analysis.cellKey(row, column));
    setHover({layer: rows[row], module: columns[column]});
    showTip(
        event.clientX, event.clientY, placeTitle(rows[row], columns[column]),
        [[full, value === undefined ? 'no such tensor' : format(value)], ['exactly', exact(value)]], 0);
  }));
  area.addEventListener('pointerleave', () => requestAnimationFrame(() => { setHover(null); hideTip(); }));
  if (v !== null) {
    area.addEventListener('click', () => setView({v}));
    area.addEventListener('keydown', event => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        setView({v});
      }
    });
  }
  group.append(area);
  figure.append(group);
}

/** Cosines of every two vectors, over the selection where there is one. */
function cosineTable(analysis) {
  const selection = selectionNow();
  const pairOf = (i, j) => selection ? analysis.together(i, j, selection.sites).pair : analysis.total(i, j).pair;
  const scale = makeScale([-1, 1], {centre: 0, theme: themeNow()});
  const labels = analysis.vectors.map(vector => shortened(vector.name, 34));
  const head = html('tr', {}, html('td', {}), ...labels.map(label => html('th', {scope: 'col'}, nameOf(label))));
  const body = analysis.vectors.map(
      (vector, i) => html('tr', {}, html('th', {scope: 'row'}, nameOf(labels[i])), ...analysis.vectors.map((_, j) => {
        const pair = i === j ? null : pairOf(i, j);
        const value = i === j ? 1 : pair ? numberOf(pair.cosine) : null;
        const cell = html('td', {tabindex: i === j ? null : 0}, formatSigned(value));
        const colour = scale.colour(value);
        if (colour && i !== j) {
          cell.style.background = colour;
          cell.style.color = Math.abs(value) > 0.6 ? (themeNow() === 'dark' ? '#111' : '#fff') : '';
        }
        if (i !== j) {
          withTip(
              cell,
              () =>
                  [`${visible(vector.name)} and ${visible(analysis.vectors[j].name)}`, exactLines({row: null, pair}),
                   0]);
          cell.addEventListener('click', () => setView({v: i, w: j}));
        }
        return cell;
      })));
  return html(
      'div', {class: 'matrix'}, html('h3', {}, selection ? 'Cosines over the selection' : 'Cosines'),
      html(
          'div', {class: 'scroll-x'},
          html('table', {class: 'cosines'}, html('thead', {}, head), html('tbody', {}, ...body))));
}

function compareCsv() {
  const analysis = analysisNow();
  const measure = comparedMeasure();
  const rows = [['layer', 'module', ...analysis.vectors.map(vector => `${vector.name} ${measure.id}`)]];
  for (const key of analysis.cells.keys())
    rows.push([
      analysis.rows[Math.floor(key / analysis.columns.length)], analysis.columns[key % analysis.columns.length],
      ...analysis.vectors.map((_, v) => measure.value(analysis.cell(v, null, key)))
    ]);
  return rows;
}
