// What the explored model answers: its score beside the target's, a sample, what rounding left per layer.

function showAnswer(live, answer) {
  live.shown = answer.edit;
  live.answer = answer;
  const seconds = numberOf(answer.seconds);
  setStatus(
      live,
      seconds === null ? 'done' :
                         `answered in ${seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`}`);
  live.command.textContent = visible(answer.command);
  live.score.replaceChildren(...(answer.score ? [scoreFigure(live, answer.score)] : []));
  live.sample.replaceChildren(...(answer.sample ? sampleAnswers(answer.sample) : []));
  live.fidelity.replaceChildren(...(answer.realised ? [fidelityFigure(live, answer.realised)] : []));
}

function scoreFigure(live, score) {
  const task = live.explore.task || {};
  const isShare = Boolean(task.is_share);
  const format = isShare ? formatPercent : formatNumber;
  const signed = isShare ? formatPoints : formatSigned;
  const [value, reference, difference] = [score.value, score.reference_value, score.difference].map(numberOf);
  const interval = Array.isArray(score.interval_95) ? score.interval_95.map(numberOf) : null;
  const isGain = difference !== null && difference !== 0 && (difference > 0) === (task.higher_is_better !== false);
  const clear = interval && (interval[0] > 0 || interval[1] < 0);
  const width = 300;
  const ends = interval && reference !== null ? interval.map(end => reference + end) : [];
  const axis = makeAxis(...(isShare ? [0, 1] : extentOf([value, reference, ...ends], {room: 0.3})), 10, width - 10);
  const figure =
      svg('svg', {
        class: 'score-line',
        width,
        height: 34,
        role: 'img',
        'aria-label': `score ${format(value)}, alone ${format(reference)}`
      },
          svg('line', {class: 'rule', x1: 10, x2: width - 10, y1: 14, y2: 14}));
  if (ends.length)
    figure.append(svg('line', {
      class: 'interval ' + (clear ? (isGain ? 'gain' : 'loss') : 'none'),
      x1: clamp(axis(ends[0]), 0, width),
      x2: clamp(axis(ends[1]), 0, width),
      y1: 14,
      y2: 14
    }));
  if (reference !== null && Number.isFinite(reference))
    figure.append(
        svg('line', {class: 'reference', x1: axis(reference), x2: axis(reference), y1: 5, y2: 23}),
        svg('text', {class: 'tiny', x: clamp(axis(reference), 24, width - 24), y: 33, 'text-anchor': 'middle'},
            'alone'));
  if (value !== null && Number.isFinite(value))
    figure.append(
        svg('circle', {class: `dot ${clear ? (isGain ? 'gain' : 'loss') : 'none'}`, cx: axis(value), cy: 14, r: 6}));
  return html(
      'div', {},
      html(
          'p', {class: 'big'}, html('strong', {}, format(value)),
          html('span', {}, ` ${signed(difference)} against ${format(reference)} alone`)),
      figure,
      html(
          'p', {class: 'note'},
          `${visible(score.metric)} on ${plural(score.records, 'record')}` +
              (interval ? `; 95 % interval of the difference ${signed(interval[0])} to ${signed(interval[1])}` : '')));
}

function sampleAnswers({prompt, answer, reference_answer: before}) {
  const block = (label, text) => [html('dt', {}, label), html('dd', {}, nameOf(text))];
  return [
    html('h3', {}, 'A sample'),
    html('dl', {}, ...block('prompt', prompt), ...block('alone', before), ...block('with this', answer))
  ];
}

/** Wanted and realised norm per layer, and how much of the direction is left. */
function fidelityFigure(live, realised) {
  // Layers without any change are not in the answer.
  const changed = keyed(realised.layers, 'layer');
  const layers = [
    ...Array.from({length: live.explore.layers}, (_, layer) => ({...changed.get(layer), label: String(layer)})),
    ...(realised.outside_layers ? [{...realised.outside_layers, label: 'out'}] : [])
  ];
  const width = Math.max(240, live.fidelity.clientWidth || 300);
  const height = 120;
  const most = Math.max(...layers.map(row => numberOf(row.wanted_norm) || 0), 1e-12);
  const [left, bottom, top] = [44, height - 22, 20];
  const step = (width - left - 6) / Math.max(1, layers.length);
  const y = makeAxis(0, most * 1.05, bottom, top, {count: 2});
  const figure = svg(
      'svg', {
        class: 'fidelity-figure',
        width,
        height,
        role: 'group',
        'aria-label': 'Norm per layer: wanted and left by rounding'
      },
      verticalAxis(y, left, formatNumber, {title: 'norm per layer: outline wanted, filled realised', to: width - 6}));
  layers.forEach((row, i) => {
    const [wanted, left_] = [numberOf(row.wanted_norm) || 0, numberOf(row.realised_norm) || 0];
    const x = left + i * step + step * 0.12;
    const bar = svg(
        'g', {
          tabindex: 0,
          role: 'img',
          'aria-label': `${row.label}: wanted ${formatNumber(wanted)}, realised ${formatNumber(left_)}`
        },
        svg('rect', {
          class: 'bar',
          x,
          width: step * 0.76,
          y: y(Math.min(left_, most * 1.05)),
          height: Math.max(0, bottom - y(Math.min(left_, most * 1.05)))
        }),
        svg('rect', {class: 'wanted', x, width: step * 0.76, y: y(wanted), height: Math.max(0, bottom - y(wanted))}));
    withTip(
        bar,
        () =>
            [row.label === 'out' ? layerTitle(OUTSIDE) : `layer ${row.label}`,
             [
               ['wanted norm', exact(numberOf(row.wanted_norm))], ['realised norm', exact(numberOf(row.realised_norm))],
               ['norm ratio', exact(numberOf(row.norm_ratio))], ['cosine', exact(numberOf(row.cosine))],
               ['share changed', exact(numberOf(row.changed))]
             ],
             2]);
    figure.append(bar);
    if (layers.length <= 16 || i % 4 === 0)
      figure.append(
          svg('text', {class: 'tiny', x: x + step * 0.38, y: bottom + 14, 'text-anchor': 'middle'}, row.label));
  });
  const total = realised.total || {};
  return html(
      'div', {}, numbersList([
        ['norm', formatNumber(numberOf(total.wanted_norm))],
        ['left by rounding', formatPercent(numberOf(total.norm_ratio))],
        ['cosine', formatNumber(numberOf(total.cosine))], ['elements changed', formatPercent(numberOf(total.changed))]
      ]),
      figure);
}
