// Effects of an ablation with their intervals; those of layers lie in the rows of the map beside them.

const EFFECT_LABELS = 52;

function makeEffects(host) {
  const panel = makePanel(host, {id: 'effects', title: 'What each layer does', csv: effectsCsv});
  const view = {panel, figure: null, bands: new Map(), arms: []};
  const draw = () => {
    const ablation = ablationNow();
    panel.setShown(Boolean(ablation));
    if (!ablation) return;
    const {am, fam} = store.view;
    const family = ablation.families.find(known => known.name === fam);
    panel.heading.textContent = family && family.byLayer ? 'What each layer does' : 'Effects on the score';
    panel.tools.replaceChildren(
        chooser(
            'score', ablation.metrics.map(metric => [metric.at, ablation.metricName(metric.at)]), am,
            value => setView({am: Number(value)})),
        chooser(
            'design', ablation.families.map(known => [known.name, visible(known.name)]), fam,
            value => setView({fam: value})));
    drawEffects(view, ablation, family, am);
    panel.setNote(effectsNote(ablation, family, am));
  };
  whenChanged(['ab', 'am', 'fam', 'an', 'th', 'sel'], draw);
  whenHovered(hovered => {
    for (const [layer, band] of view.bands)
      band.setAttribute(
          'visibility', hovered && hovered.layer !== undefined && hovered.layer === layer ? 'visible' : 'hidden');
  });
  return {draw};
}

function effectsNote(ablation, family, metric) {
  if (!family) return 'No designs in this result.';
  const effects = family.arms.map(arm => ablation.effect(arm, metric)).filter(Boolean);
  const real = effects.filter(effect => effect.pHolm !== null && effect.pHolm < 0.05).length;
  return `Against ${visible(family.reference || 'its reference')}, 95 % intervals; * ${real} of ${
      effects.length} differ after Holm’s correction.`;
}

/** The smallest effects that these records would have shown, over the arms of a design. */
function smallestText(ablation, family, metric) {
  const effects = (family ? family.arms : []).map(arm => ablation.effect(arm, metric));
  const least = effects.map(effect => effect && effect.smallest).filter(x => x !== null && Number.isFinite(x));
  if (least.length === 0) return '';
  const format = ablation.formatValue(metric);
  const ends = new Set([format(Math.min(...least)), format(Math.max(...least))]);
  return `smallest that shows (power 80 %): ${[...ends].join(' to ')}`;
}

/** Places of the arms: [{arm, layer, label, y}], in the rows of the map where they are layers. */
function effectRows(family, geometry, rows) {
  if (family.byLayer)
    return family.arms
        .map(arm => {
          const layer = layerOfArm(arm);
          return {arm, layer, row: rows.indexOf(layer), label: layer === OUTSIDE ? 'outside' : String(layer)};
        })
        .filter(place => place.row >= 0)
        .map(place => ({...place, y: geometry.y(place.row), shown: rowLabel(rows, place.row, geometry)}));
  return family.arms.map((arm, i) => ({
                           arm,
                           layer: null,
                           row: i,
                           label: (arm.part || arm.name).replace(/^(block|module)=/, ''),
                           y: MAP_HEADER + i * 22,
                           shown: null
                         }));
}

function drawEffects(view, ablation, family, metric) {
  const {panel} = view;
  const width = panel.width();
  const rows = rowsNow();
  const geometry = rowGeometry(rows);
  const places = family ? effectRows(family, geometry, rows) : [];
  const height = family && family.byLayer ? geometry.height : 22;
  const left = family && family.byLayer ? EFFECT_LABELS : Math.min(150, width * 0.36);
  const right = width - (width > 300 ? 84 : 10);
  const bottom = family && family.byLayer ? geometry.bottom : MAP_HEADER + places.length * 22;
  const format = ablation.format(metric);

  const controls = ablation.controls.filter(arm => arm.kind !== 'target');
  const randoms =
      controls.filter(arm => arm.kind === 'random').map(arm => ablation.effect(arm, metric)).filter(Boolean);
  const values = places.flatMap(({arm}) => {
    const effect = ablation.effect(arm, metric);
    return effect ? [effect.difference, effect.low, effect.high] : [];
  });
  const againstTarget = !family || family.reference === 'target';
  if (againstTarget || values.length === 0) values.push(...randoms.map(effect => effect.difference));
  if (values.length === 0)
    controls.forEach(arm => {
      const effect = ablation.effect(arm, metric);
      if (effect) values.push(effect.difference);
    });
  const axis = makeAxis(...extentOf(values, {zero: true}), left, right, {count: width > 380 ? 5 : 3});

  const controlsTop = bottom + 56;
  const total = controlsTop + (controls.length ? 18 + controls.length * 20 : -20) + 52;
  const figure = svg('svg', {
    class: 'figure effects',
    width,
    height: total,
    role: 'group',
    'aria-labelledby': 'effects-title',
    'aria-describedby': 'effects-note'
  });
  const top = MAP_HEADER - 8;
  for (const tick of axis.ticks)
    figure.append(svg('line', {class: 'grid', x1: axis(tick), x2: axis(tick), y1: top, y2: bottom + 4}),
      svg('text', {class: 'label', x: axis(tick), y: top - 8, 'text-anchor': 'middle'}, tickText(format, tick)));
  figure.append(
      svg('text', {class: 'axis-title', x: (left + right) / 2, y: top - 26, 'text-anchor': 'middle'},
          ablation.metrics[metric] && !ablation.metrics[metric].higherIsBetter ? 'effect (lower is better)' :
                                                                                 'effect on the score'));
  figure.append(svg('line', {class: 'zero', x1: axis(0), x2: axis(0), y1: top, y2: bottom + 4}));

  // Where random vectors of the same norm land, and what the whole vector does.
  if (againstTarget && randoms.length > 0) {
    const found = randoms.map(effect => axis(effect.difference));
    const from = Math.min(...found);
    figure.append(svg(
        'rect',
        {class: 'random-band', x: from - 1, width: Math.max(...found) - from + 2, y: top, height: bottom + 4 - top}));
    figure.append(svg(
        'text', {class: 'note-text', x: clamp(from, left + 40, right - 40), y: bottom + 18, 'text-anchor': 'middle'},
        'random vectors'));
  }
  const whole = controls.find(arm => arm.kind === 'vector');
  const wholeEffect = whole && ablation.effect(whole, metric);
  if (wholeEffect && family) {
    const at = againstTarget ? wholeEffect.difference : -wholeEffect.difference;
    const text = againstTarget ? 'whole vector' : 'no vector';
    const inside = at >= axis.low && at <= axis.high;
    const x = inside ? axis(at) : at > 0 ? right : left;
    if (inside) figure.append(svg('line', {class: 'whole', x1: x, x2: x, y1: top, y2: bottom + 4}));
    figure.append(svg('text', {class: 'note-text', x, y: bottom + 30, 'text-anchor': at > 0 ? 'end' : 'start'},
      inside ? text : at > 0 ? `${text} at ${format(at)} →` : `← ${text} at ${format(at)}`));
  }

  view.bands.clear();
  for (const place of places)
    effectRow(view, figure, ablation, metric, place, {axis, left, right, height, width, format});
  if (controls.length) {
    figure.append(svg('text', {class: 'section-label', x: 2, y: controlsTop + 4}, 'Controls, less target'));
    controls.forEach(
        (arm, i) => effectRow(
            view, figure, ablation, metric, {
              arm,
              layer: undefined,
              row: -1,
              label: arm.name,
              y: controlsTop + 12 + i * 20,
              shown: arm.name.replace(/^random seed=/, 'random ').replace(/^permuted seed=/, 'permuted ')
            },
            {axis, left: Math.max(left, 76), right, height: 20, width, format}));
  }
  figure.append(effectKey(total - 30));
  figure.append(svg('text', {class: 'note-text', x: 4, y: total - 10}, smallestText(ablation, family, metric)));
  stepThrough(figure, '.effect', 'ArrowUp', 'ArrowDown');
  setFigure(panel, figure);
  view.figure = figure;
}

function effectKey(y) {
  const part = (x, className, text) =>
      [svg('circle', {class: className, cx: x, cy: y - 4, r: 4}), svg('text', {class: 'note-text', x: x + 8, y}, text)];
  return svg(
      'g', {}, ...part(8, 'dot gain', 'better'), ...part(66, 'dot loss', 'worse'),
      ...part(120, 'dot none', 'not told from zero'));
}

function effectRow(view, figure, ablation, metric, place, {axis, left, right, height, width, format}) {
  const {arm, layer} = place;
  const effect = ablation.effect(arm, metric);
  const verdict = ablation.verdict(effect, metric);
  const middle = place.y + height / 2;
  const isFaded = layer !== null && layer !== undefined && analysisNow() && !isPlaceSelected(layer, null);
  const group = svg('g', {
    class: 'effect ' + verdict + (isFaded ? ' faded' : ''),
    role: 'img',
    id: `effect-${ablation.arms.indexOf(arm)}`,
    'aria-label': `${visible(arm.name)}: ${effect ? format(effect.difference) : 'no effect computed'}`
  });
  const band = svg('rect', {class: 'band', x: 0, y: place.y - 0.5, width, height, 'data-screen': 'only'});
  group.append(band);
  if (layer !== null && layer !== undefined) {
    band.setAttribute('visibility', 'hidden');
    view.bands.set(layer, band);
  } else {
    band.setAttribute('class', 'band own');
  }
  const label = place.shown === null ? place.label : place.shown;
  group.append(
      svg('text', {class: 'label', x: left - 8, y: middle + 4, 'text-anchor': 'end'},
          shortened(label, Math.max(8, Math.floor(left / 6.6)))));
  if (effect && effect.difference !== null && Number.isFinite(effect.difference)) {
    const at = value => clamp(axis(value), left, right);
    const size = height > 12 ? 4 : 3;
    if (effect.low !== null && effect.high !== null && effect.high >= axis.low && effect.low <= axis.high)
      group.append(svg('line', {class: 'interval', x1: at(effect.low), x2: at(effect.high), y1: middle, y2: middle}));
    const beyond = effect.difference > axis.high ? 1 : effect.difference < axis.low ? -1 : 0;
    if (beyond === 0)
      group.append(svg('circle', {class: `dot ${verdict}`, cx: axis(effect.difference), cy: middle, r: size}));
    else
      group.append(svg('path', {
        class: `dot ${verdict}`,
        d: beyond > 0 ? `M${right - 7} ${middle - 4}L${right} ${middle}L${right - 7} ${middle + 4}Z` :
                        `M${left + 7} ${middle - 4}L${left} ${middle}L${left + 7} ${middle + 4}Z`
      }));
    if (height > 12 && width > 300)
      group.append(
          svg('text', {class: 'value', x: width - 4, y: middle + 4, 'text-anchor': 'end'},
              format(effect.difference) + (verdict === 'none' ? '' : ' *')));
  }
  const content = () => [visible(arm.name), ablation.lines(arm, metric), 1];
  withTip(group, content);
  group.addEventListener(
      'pointerenter', () => setHover(layer === null || layer === undefined ? null : {layer, module: null}));
  group.addEventListener('pointerleave', () => setHover(null));
  const act = () => pickArm(arm, layer);
  group.addEventListener('click', act);
  group.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      act();
    }
  });
  figure.append(group);
}

// A click on an effect selects what its arm left out or kept.
function pickArm(arm, layer) {
  if (!analysisNow()) return;
  const text = layer === OUTSIDE ? '!layer=0-' : arm.part;
  if (!text || isControl(arm)) return;
  setView({sel: store.view.sel === text ? '' : text});
}

function effectsCsv() {
  const ablation = ablationNow();
  const rows = [[
    'arm', 'kind', 'design', 'part', 'reference', 'task', 'metric', 'filter', 'value', 'reference_value', 'difference',
    'low_95', 'high_95', 'p', 'p_holm'
  ]];
  for (const arm of ablation.arms) {
    ablation.metrics.forEach((metric, at) => {
      const effect = ablation.effect(arm, at) || {};
      rows.push([
        arm.name, arm.kind, arm.family, arm.part, arm.reference, metric.task, metric.metric, metric.filter,
        ablation.value(arm, at), effect.reference, effect.difference, effect.low, effect.high, effect.p, effect.pHolm
      ]);
    });
  }
  return rows;
}
