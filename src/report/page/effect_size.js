// Effect against size: which layers are large and useless, which small and vital.

function makeEffectSize(host) {
  const panel = makePanel(host, {id: 'effect-size', title: 'Effect against size', csv: () => effectSizeCsv()});
  let rings = new Map();
  const draw = () => {
    const points = effectSizePoints();
    panel.setShown(points !== null && points.length > 1);
    if (!points || points.length < 2) return;
    rings = drawEffectSize(panel, points);
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'ab', 'am', 'fam', 'sel', 'th'], draw);
  whenHovered(hovered => {
    for (const [layer, mark] of rings) mark.classList.toggle('hovered', Boolean(hovered && hovered.layer === layer));
  });
  return {draw};
}

/** The measure of the map, as far as whole layers have it. */
function sizeMeasure(analysis) {
  const measure = measureOf(store.view.m);
  const isKnown =
      analysis.rows.some((_, row) => measure.value(analysis.layer(store.view.v, partnerNow(), row)) !== null);
  return isKnown ? measure : measureOf('relative');
}

/** [{layer, size, effect, arm}] of the layers that have both; null where there are not both. */
function effectSizePoints() {
  const [analysis, ablation] = [analysisNow(), ablationNow()];
  if (!analysis || !ablation) return null;
  const family = ablation.families.find(known => known.name === store.view.fam);
  if (!family || !family.byLayer) return null;
  const measure = sizeMeasure(analysis);
  return family.arms
      .map(arm => {
        const layer = layerOfArm(arm);
        const row = analysis.rows.indexOf(layer);
        const found = row < 0 ? null : analysis.layer(store.view.v, partnerNow(), row);
        return {arm, layer, size: found ? measure.value(found) : null, effect: ablation.effect(arm, store.view.am)};
      })
      .filter(
          point => point.size !== null && Number.isFinite(point.size) && point.effect &&
              Number.isFinite(point.effect.difference));
}

function ranksOf(values) {
  const order = values.map((value, i) => [value, i]).sort((a, b) => a[0] - b[0]);
  const ranks = new Array(values.length);
  for (let i = 0; i < order.length;) {
    let end = i;
    while (end + 1 < order.length && order[end + 1][0] === order[i][0]) ++end;
    for (let k = i; k <= end; ++k) ranks[order[k][1]] = (i + end) / 2;
    i = end + 1;
  }
  return ranks;
}

/** Spearman's rank correlation; ties share their rank. */
function rankCorrelation(a, b) {
  const [x, y] = [ranksOf(a), ranksOf(b)];
  const mean = (a.length - 1) / 2;
  let xy = 0, xx = 0, yy = 0;
  for (let i = 0; i < a.length; ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) ** 2;
    yy += (y[i] - mean) ** 2;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : NaN;
}

function drawEffectSize(panel, points) {
  const ablation = ablationNow();
  const {am} = store.view;
  const measure = sizeMeasure(analysisNow());
  const format = ablation.format(am);
  const width = panel.width();
  const height = 270;
  const log = store.view.log && points.every(point => point.size > 0);
  const x =
      makeAxis(...extentOf(points.map(point => point.size), {log}), 64, width - 16, {log, count: width > 420 ? 6 : 3});
  const y = makeAxis(
      ...extentOf(points.flatMap(({effect}) => [effect.difference, effect.low, effect.high]), {zero: true}),
      height - 44, 18);
  const figure =
      svg('svg', {
        class: 'figure',
        width,
        height,
        role: 'group',
        'aria-labelledby': 'effect-size-title',
        'aria-describedby': 'effect-size-note'
      },
          verticalAxis(y, 64, format, {title: 'effect', to: width - 16}),
          horizontalAxis(
              x, height - 44, measure.format,
              {title: measure.label.toLowerCase() + (log ? ', log scale' : ''), from: 64, to: width - 16}),
          svg('line', {class: 'zero', x1: 64, x2: width - 16, y1: y(0), y2: y(0)}));
  const rings = new Map();
  for (const {arm, layer, size, effect} of points) {
    const verdict = ablation.verdict(effect, am);
    const mark = svg('g', {
      class: 'point' + (isPlaceSelected(layer, null) ? '' : ' faded'),
      role: 'img',
      id: `size-${layer}`,
      'aria-label': `${layerTitle(layer)}: ${measure.format(size)}, effect ${format(effect.difference)}`
    });
    if (effect.low !== null && effect.high !== null)
      mark.append(
          svg('line', {class: 'interval thin', x1: x(size), x2: x(size), y1: y(effect.low), y2: y(effect.high)}));
    mark.append(svg('circle', {class: `dot ${verdict}`, cx: x(size), cy: y(effect.difference), r: 5}));
    if (points.length <= 40)
      mark.append(
          svg('text', {class: 'note-text', x: x(size) + 8, y: y(effect.difference) - 6},
              layer === OUTSIDE ? 'outside' : layer));
    withTip(
        mark, () => [layerTitle(layer), [[measure.label.toLowerCase(), exact(size)], ...ablation.lines(arm, am)], 2]);
    mark.addEventListener('pointerenter', () => setHover({layer, module: null}));
    mark.addEventListener('pointerleave', () => setHover(null));
    mark.addEventListener('click', () => pickArm(arm, layer));
    mark.addEventListener('keydown', event => { if (event.key === 'Enter') pickArm(arm, layer); });
    figure.append(mark);
    rings.set(layer, mark);
  }
  stepThrough(figure, '.point', 'ArrowLeft', 'ArrowRight');
  setFigure(panel, figure);
  const rho = rankCorrelation(points.map(point => point.size), points.map(point => Math.abs(point.effect.difference)));
  panel.setNote(
      `${visible(store.view.fam)}: each layer’s effect against its ${measure.label.toLowerCase()}.`,
      Number.isFinite(rho) ?
          ` Spearman’s ρ of size and |effect| ${formatSigned(Number(rho.toFixed(2)))} over ${points.length} parts.` :
          '');
  return rings;
}

function effectSizeCsv() {
  const measure = sizeMeasure(analysisNow());
  return [
    ['part', measure.id, 'effect', 'low_95', 'high_95', 'p_holm'],
    ...(effectSizePoints() || [])
        .map(({layer, size, effect}) => [layer, size, effect.difference, effect.low, effect.high, effect.pHolm])
  ];
}
