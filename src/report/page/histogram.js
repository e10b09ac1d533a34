// How large the elements of a change are: powers of two across, their number up, on a log scale.

/** [{low, high, count}] of the bins that hold something, and the zeros beside them. */
function histogramBins(row) {
  const {histogram} = row;
  if (!histogram || !Array.isArray(histogram.counts)) return null;
  const bins = histogram.counts.map((count, i) => ({exponent: histogram.first_exponent + i, count}));
  while (bins.length && bins[0].count === 0) bins.shift();
  while (bins.length && bins[bins.length - 1].count === 0) bins.pop();
  return bins;
}

/** The magnitude below which `share` of the changed elements lie, from bins, between powers of two. */
function quantileOfBins(bins, share) {
  const total = bins.reduce((sum, bin) => sum + bin.count, 0);
  let before = 0;
  for (const bin of bins) {
    if (bin.count > 0 && before + bin.count >= share * total)
      return Math.pow(2, bin.exponent + (share * total - before) / bin.count);
    before += bin.count;
  }
  return NaN;
}

const QUANTILES = [[0.5, '50 %'], [0.9, '90 %'], [0.99, '99 %']];

function drawHistogram(panel, row) {
  const bins = histogramBins(row);
  const elements = numberOf(row.elements) || 0;
  const zeros = elements - (numberOf(row.changed_elements) || 0);
  const broken = numberOf(row.non_finite) || 0;
  const unchanged = `${plural(zeros, 'element')} of ${elements.toLocaleString('en')} unchanged` +
      (broken ? `, ${broken.toLocaleString('en')} not finite` : '');
  if (!bins || bins.length === 0) {
    panel.body.replaceChildren(emptyText('No element changed.'));
    panel.setNote(unchanged);
    return;
  }
  const width = panel.width();
  const height = 190;
  const [left, right, top, bottom] = [46, width - 8, 26, height - 38];
  const x = makeAxis(bins[0].exponent, bins[bins.length - 1].exponent + 1, left, right, {count: 5});
  x.ticks = x.ticks.filter(Number.isInteger);
  const most = Math.max(...bins.map(bin => bin.count), 10);
  const y = makeAxis(0.5, most * 1.3, bottom, top, {log: true, count: 4});
  const figure =
      svg('svg', {class: 'figure', width, height, role: 'group', 'aria-labelledby': `${panel.id}-title`},
          verticalAxis(y, left, formatCount, {to: right}),
          horizontalAxis(
              x, bottom, exponent => `2${superscript(exponent)}`,
              {from: left, to: right, title: 'magnitude of the change'}));
  for (const {exponent, count} of bins) {
    if (count === 0) continue;
    const bar = svg('rect', {
      class: 'bar',
      x: x(exponent) + 0.5,
      width: Math.max(1, x(exponent + 1) - x(exponent) - 1),
      y: y(count),
      height: bottom - y(count),
      role: 'img',
      'aria-label': `${plural(count, 'element')} from ${formatNumber(Math.pow(2, exponent))}`
    });
    withTip(bar, () => [`${formatNumber(Math.pow(2, exponent))} to ${formatNumber(Math.pow(2, exponent + 1))}`,
      [['elements', exact(count)], ['share of all', formatPercent(count / elements)]], 0]);
    figure.append(bar);
  }
  let last = -Infinity;
  for (const [share, label] of QUANTILES) {
    const at = x(Math.log2(quantileOfBins(bins, share)));
    figure.append(svg('line', {class: 'quantile', x1: at, x2: at, y1: top - 2, y2: bottom}));
    if (at - last > 30) figure.append(svg('text', {class: 'tiny', x: at, y: top - 7, 'text-anchor': 'middle'}, label));
    last = at;
  }
  stepThrough(figure, '.bar', 'ArrowLeft', 'ArrowRight');
  setFigure(panel, figure);
  panel.setNote(`${unchanged}. Of the changed, half lie below ≈ ${
      formatNumber(Number(quantileOfBins(bins, 0.5).toPrecision(
          2)))}, 99 % below ≈ ${formatNumber(Number(quantileOfBins(bins, 0.99).toPrecision(2)))}.`);
}

function superscript(value) {
  return String(value).replace(/[-0-9]/g, digit => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit] || '⁻');
}

function histogramCsv() {
  const scope = scopeNow();
  if (!scope || !scope.row) return [];
  return [['from', 'to', 'elements'], ...(histogramBins(scope.row) || []).map(({exponent, count}) =>
    [Math.pow(2, exponent), Math.pow(2, exponent + 1), count])];
}
