// The measure along the depth: a line per module, or per vector. Dragging picks a range of layers.

function makeProfile(host) {
  const panel = makePanel(host, {id: 'profile', title: 'Along the layers', csv: () => profileCsv()});
  const view = {panel, x: null, layers: [], rule: null};
  const draw = () => {
    const analysis = analysisNow();
    const layers = analysis ? analysis.rows.filter(row => row !== OUTSIDE) : [];
    panel.setShown(layers.length > 1);
    if (layers.length < 2) return;
    drawProfile(view, analysis, layers);
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'sel', 'show', 'th', 'at'], draw);
  whenHovered(hovered => {
    if (!view.rule) return;
    const shown = hovered && typeof hovered.layer === 'number' && view.layers.includes(hovered.layer);
    view.rule.setAttribute('visibility', shown ? 'visible' : 'hidden');
    if (shown) {
      view.rule.setAttribute('x1', view.x(hovered.layer));
      view.rule.setAttribute('x2', view.x(hovered.layer));
    }
    for (const line of view.figure.querySelectorAll('.series'))
      line.classList.toggle(
          'dim',
          Boolean(
              hovered && hovered.module && store.view.show === 'modules' && line.dataset.module !== hovered.module));
  });
  return {draw};
}

/** [{name, module, values}] along `layers`. */
function profileSeries(analysis, layers) {
  const measure = measureOf(store.view.m);
  const w = partnerNow();
  if (store.view.show === 'vectors' && !measure.pair)
    return analysis.vectors.map((vector, v) => ({name: vector.name, module: '', values: layers.map(layer =>
      measure.value(analysis.layer(v, null, analysis.rows.indexOf(layer))))}));
  const {v} = store.view;
  const series = [];
  if (measure.pair || store.view.show === 'vectors')
    series.push({
      name: 'whole layer',
      module: '',
      values: layers.map(layer => measure.value(analysis.layer(v, w, analysis.rows.indexOf(layer))))
    });
  analysis.columns.forEach((module, column) => {
    const values = layers.map(layer => {
      const key = analysis.cellKey(analysis.rows.indexOf(layer), column);
      return analysis.cells.has(key) ? measure.value(analysis.cell(v, w, key)) : null;
    });
    if (values.some(value => value !== null)) series.push({name: module, module, values});
  });
  return series;
}

function drawProfile(view, analysis, layers) {
  const {panel} = view;
  const measure = measureOf(store.view.m);
  const width = panel.width();
  const height = 300;
  const colours = LINES[themeNow()];
  const series = profileSeries(analysis, layers);
  const all = series.flatMap(({values}) => values);
  const log = store.view.log && measure.centre === undefined && all.some(value => value > 0);
  const [left, right, top, bottom] = [62, width - 14, 18, height - 42];
  const x = makeAxis(layers[0], layers[layers.length - 1], left + 8, right - 8, {count: width > 500 ? 12 : 6});
  x.ticks = x.ticks.filter(Number.isInteger);
  const y = makeAxis(...extentOf(all, {log, zero: !log && measure.centre !== 1}), bottom, top, {log});
  const figure = svg('svg', {class: 'figure profile', width, height, role: 'img', tabindex: 0, id: 'profile-figure',
    'aria-labelledby': 'profile-title', 'aria-describedby': 'profile-note'},
    verticalAxis(y, left, measure.format, {title: measure.label.toLowerCase() + (log ? ', log scale' : ''), to: right}),
    horizontalAxis(x, bottom, String, {title: 'layer', from: left, to: right}));
  const chosen = selectionNow() ? layers.filter(layer => isPlaceSelected(layer, null)) : [];
  const step = layers.length > 1 ? Math.abs(x(layers[1]) - x(layers[0])) : 10;
  for (const layer of chosen)
    figure.append(svg('rect', {class: 'chosen', x: x(layer) - step / 2, width: step, y: top, height: bottom - top}));
  if (measure.centre !== undefined)
    figure.append(svg('line', {class: 'zero', x1: left, x2: right, y1: y(measure.centre), y2: y(measure.centre)}));
  series.forEach(({name: label, module, values}, i) => {
    const line = svg('path', {
      class: 'series' + (module === '' && label === 'whole layer' ? ' whole-layer' : ''),
      stroke: colours[i % colours.length],
      'stroke-dasharray': i >= colours.length ? '5 3' : null,
      d: linePath(values.map((value, k) => [x(layers[k]), value === null || (log && !(value > 0)) ? NaN : y(value)]))
    });
    line.dataset.module = module;
    line.append(svg('title', {}, visible(label)));
    figure.append(line);
  });
  view.rule = svg('line', {class: 'hover-rule', y1: top, y2: bottom, visibility: 'hidden', 'data-screen': 'only'});
  const brush = svg('rect', {class: 'drag', y: top, height: bottom - top, visibility: 'hidden', 'data-screen': 'only'});
  figure.append(view.rule, brush);
  Object.assign(view, {x, layers, figure, series, measure});
  listenToProfile(view, figure, brush);
  setFigure(panel, figure);
  panel.body.append(html('ul', {class: 'keys'}, ...series.map(({name: label}, i) => {
    const swatch = html('i', {class: 'swatch'});
    swatch.style.background = colours[i % colours.length];
    return html('li', {}, swatch, nameOf(shortened(label, 40)));
  })));
  panel.tools.replaceChildren(...(
      analysis.vectors.length > 1 && !measure.pair ?
          [segments(
              'lines', [['modules', 'modules'], ['vectors', 'vectors']], store.view.show, show => setView({show}))] :
          []));
  panel.setNote(`${measure.unit}. Drag across layers to select them.`);
}

function listenToProfile(view, figure, brush) {
  let from = null;
  const layerAt = event => {
    const at = view.x.invert(event.clientX - figure.getBoundingClientRect().left);
    return view.layers.reduce(
        (best, layer) => Math.abs(layer - at) < Math.abs(best - at) ? layer : best, view.layers[0]);
  };
  const content = layer => [layerTitle(layer), view.series.map(({name: label, values}) =>
    [shortened(label, 28), exact(values[view.layers.indexOf(layer)])]).filter(line => line[1] !== '–').slice(0, 16)];
  figure.addEventListener('pointermove', framed(event => {
    const layer = layerAt(event);
    setHover({layer, module: null});
    showTip(event.clientX, event.clientY, ...content(layer));
    if (from === null) return;
    const [a, b] = spanOf(view.x(from), view.x(layer));
    setBox(brush, {x: a - 3, width: b - a + 6});
  }));
  figure.addEventListener('pointerleave', () => {
    from = null;
    brush.setAttribute('visibility', 'hidden');
    requestAnimationFrame(() => { setHover(null); hideTip(); });
  });
  figure.addEventListener('pointerdown', event => { if (event.button === 0) from = layerAt(event); });
  figure.addEventListener('pointerup', event => {
    if (from === null) return;
    const [low, high] = spanOf(from, layerAt(event));
    from = null;
    pickLayers(low, high);
  });
  let cursor = view.layers[0];
  let anchor = null;
  figure.addEventListener('keydown', event => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    const at = clamp(view.layers.indexOf(cursor) + (event.key === 'ArrowRight' ? 1 : -1), 0, view.layers.length - 1);
    if (event.shiftKey && anchor === null) anchor = cursor;
    cursor = view.layers[at];
    if (event.shiftKey) pickLayers(...spanOf(anchor, cursor));
    else anchor = null;
    setHover({layer: cursor, module: null});
    tipAt(figure, ...content(cursor));
  });
  figure.addEventListener('blur', hideTip);
}

function pickLayers(low, high) {
  const text = selectionText(analysisNow().sites, layer => layer !== null && layer >= low && layer <= high);
  setView({sel: text === null || text === store.view.sel ? '' : text});
}

function profileCsv() {
  const analysis = analysisNow();
  const layers = analysis.rows.filter(row => row !== OUTSIDE);
  const series = profileSeries(analysis, layers);
  return [
    ['layer', ...series.map(({name: label}) => label)],
    ...layers.map((layer, i) => [layer, ...series.map(({values}) => values[i])])
  ];
}
