// The singular values of one matrix's change, how far they may be off, and what noise would have.

/** The one matrix of the scope that has a spectrum: {site, spectrum, norm, pair}; null if none or many. */
function spectrumNow() {
  const analysis = analysisNow();
  const scope = scopeNow();
  if (!scope) return null;
  const vector = analysis.vectors[store.view.v];
  const w = partnerNow();
  const pair = w === null ? null : analysis.pair(store.view.v, w);
  const found = scope.sites.filter(site => (vector.tensors.get(site.name) || {}).spectrum);
  if (found.length !== 1) return null;
  const row = vector.tensors.get(found[0].name);
  const pairRow = pair ? pair.tensors.get(found[0].name) : null;
  return {
    site: found[0],
    spectrum: row.spectrum,
    norm: numberOf(row.norm),
    pair: pairRow ? pairRow.spectrum || null : null
  };
}

function spectrumPoints({spectrum}) {
  const bound = numberOf(spectrum.error_bound) || 0;
  return (spectrum.singular_values || []).map((value, i) => {
    const low = numberOf(value);
    return {at: i + 1, low, high: Math.sqrt(low * low + bound * bound)};
  });
}

function drawSpectrum(panel, found) {
  const points = spectrumPoints(found);
  const {spectrum, norm} = found;
  const noiseShare = numberOf(spectrum.rank1_energy_of_noise);
  const noise = noiseShare !== null && norm !== null ? Math.sqrt(noiseShare) * norm : null;
  const width = panel.width();
  const height = 210;
  const [left, right, top, bottom] = [56, width - 10, 20, height - 40];
  const x = makeAxis(1, Math.max(2, points.length), left + 6, right - 6, {count: 6});
  x.ticks = x.ticks.filter(Number.isInteger);
  const values = points.flatMap(point => [point.low, point.high]).concat(noise === null ? [] : [noise]);
  const y = makeAxis(...extentOf(values, {log: true}), bottom, top, {log: true, count: 4});
  const figure = svg('svg', {class: 'figure', width, height, role: 'group', 'aria-labelledby': `${panel.id}-title`},
    verticalAxis(y, left, formatNumber, {title: 'singular value, log scale', to: right}),
    horizontalAxis(x, bottom, String, {title: 'index', from: left, to: right}));
  const usable = points.filter(point => point.low > 0);
  if (usable.length > 1)
    figure.append(svg('path', {
      class: 'error-band',
      d: linePath([
           ...usable.map(point => [x(point.at), y(point.high)]),
           ...usable.slice().reverse().map(point => [x(point.at), y(point.low)])
         ]) +
          'Z'
    }));
  figure.append(svg('path', {class: 'series first', d: linePath(usable.map(point => [x(point.at), y(point.low)]))}));
  if (noise > 0) figure.append(svg('line', {class: 'noise', x1: left, x2: right, y1: y(noise), y2: y(noise)}),
    svg('text', {class: 'note-text', x: right, y: y(noise) - 5, 'text-anchor': 'end'}, 'largest of noise'));
  for (const point of points) {
    const dot = svg('circle', {
      class: 'catch',
      cx: x(point.at),
      cy: point.low > 0 ? y(point.low) : bottom,
      r: 5,
      role: 'img',
      'aria-label': `singular value ${point.at}: ${formatNumber(point.low)}`
    });
    withTip(dot, () => [`singular value ${point.at}`, [['at least', exact(point.low)], ['at most', exact(point.high)],
      ['share of energy', norm > 0 ? formatPercent(point.low * point.low / (norm * norm)) : '–']], 0]);
    figure.append(
        svg('circle', {class: 'spectrum-dot', cx: x(point.at), cy: point.low > 0 ? y(point.low) : bottom, r: 2}), dot);
  }
  stepThrough(figure, '.catch', 'ArrowLeft', 'ArrowRight');
  setFigure(panel, figure);
  panel.body.append(spectrumNumbers(found));
  if (found.pair) panel.body.append(drawAngles(panel, found.pair, width), anglesNumbers(found.pair));
  panel.setNote(
      nameOf(shortened(found.site.name, 60)),
      ` ${formatShape(found.site.shape)}: the ${points.length} largest singular values` +
          (spectrum.exact ? ', exact.' : `; the band is their error bound${certaintyText(spectrum)}.`));
}

function certaintyText(spectrum) {
  const probability = numberOf(spectrum.failure_probability);
  return probability > 0 ? `, which fails with a probability of at most ${formatNumber(probability)}` : '';
}

function numbersList(entries) {
  return html(
      'dl', {class: 'numbers'},
      ...entries.filter(([, text]) => text !== null && text !== '–')
          .map(
              ([label, text, hint]) => html(
                  'div', {}, html('dt', {}, label),
                  html('dd', {}, text, hint ? html('small', {}, ` ${hint}`) : null))));
}

function rangeText(range, format) {
  if (!range) return null;
  const [low, high] = [numberOf(range.low), numberOf(range.high)];
  return [...new Set([format(low), format(high)])].join(' to ');
}

function spectrumNumbers({spectrum}) {
  const share = (key, hint) => [formatPercent(numberOf(spectrum[key])), hint];
  return numbersList([
    ['stable rank', rangeText(spectrum.stable_rank, formatNumber)],
    ['effective rank', rangeText(spectrum.effective_rank, formatNumber)],
    [
      'rank-1 energy', formatPercent(numberOf(spectrum.rank1_energy)),
      `noise ${formatPercent(numberOf(spectrum.rank1_energy_of_noise))}`
    ],
    ['unchanged, bitwise', ...share('unchanged_bitwise')],
    ['unchanged within 0.1 %', ...share('unchanged_relative')],
    ['large enough for bf16', ...share('realisable', 'at least ½ ULP of the base')],
    ['changed among small weights', ...share('changed_in_small_weights', 'chance 30 %')],
    ['changed among principal weights', ...share('changed_in_principal_weights', 'chance 30 %')],
    ['spectral drift', formatNumber(numberOf(spectrum.spectral_drift))],
  ]);
}

function drawAngles(panel, pair, width) {
  const [left, height] = [(pair.left_cosines || []).map(numberOf), 150];
  const right = (pair.right_cosines || []).map(numberOf);
  const x = makeAxis(1, Math.max(2, left.length, right.length), 50, width - 16, {count: 6});
  x.ticks = x.ticks.filter(Number.isInteger);
  const y = makeAxis(0, 1, height - 38, 18, {count: 2});
  return svg(
      'svg', {
        class: 'angles',
        width,
        height,
        role: 'img',
        'aria-label': 'Cosines of principal angles between the two vectors'
      },
      verticalAxis(y, 44, String, {title: 'cosine of principal angle: left solid, right dashed', to: width - 10}),
      horizontalAxis(x, height - 38, String, {title: 'index', from: 44, to: width - 10}),
      svg('path', {class: 'series first', d: linePath(left.map((value, i) => [x(i + 1), y(value)]))}), svg('path', {
        class: 'series second',
        'stroke-dasharray': '4 3',
        d: linePath(right.map((value, i) => [x(i + 1), y(value)]))
      }));
}

function anglesNumbers(pair) {
  const against =
      (key, chance) => [formatPercent(numberOf(pair[key])), `chance ${formatPercent(numberOf(pair[chance]))}`];
  return numbersList([
    ['left subspaces shared', ...against('left_similarity', 'left_chance')],
    ['right subspaces shared', ...against('right_similarity', 'right_chance')],
    ['signs in conflict', ...against('sign_conflict', 'sign_conflict_by_chance')],
    ['changed in both', ...against('changed_overlap', 'changed_overlap_by_chance')],
  ]);
}

function spectrumCsv() {
  const found = spectrumNow();
  return [
    ['tensor', 'index', 'at_least', 'at_most'],
    ...(found ? spectrumPoints(found).map(({at, low, high}) => [found.site.name, at, low, high]) : [])
  ];
}
