// What can be shown of a cell, a layer, a module or a tensor: each measure takes what
// Analysis.cell and its like give, {row, pair}, and returns a number or null.

function middle(range) {
  if (!range) return null;
  const [low, high] = [numberOf(range.low), numberOf(range.high)];
  return low === null || high === null ? null : (low + high) / 2;
}

function spectrumMean(row, value) {
  if (!row) return null;
  const spectra = row.spectrum ? [row.spectrum] : row.spectra || [];
  const values = spectra.map(value).filter(x => x !== null);
  return values.length === 0 ? null : values.reduce((sum, x) => sum + x, 0) / values.length;
}

const ofRow = key => ({row}) => row ? numberOf(row[key]) : null;
const ofRealised = value => ({row}) => row && row.realised ? value(row.realised) : null;

function ratio(above, below) {
  const [a, b] = [numberOf(above), numberOf(below)];
  return a === null || b === null || b === 0 ? null : a / b;
}

const MEASURES = [
  {
    id: 'relative',
    label: 'Relative norm',
    unit: 'norm of the change as a share of its base’s',
    value: ofRow('relative_norm'),
    format: formatPercent
  },
  {id: 'norm', label: 'Norm', unit: 'L2 norm of the change', value: ofRow('norm'), format: formatNumber},
  {id: 'rms', label: 'RMS', unit: 'root mean square of the change', value: ofRow('rms'), format: formatNumber},
  {id: 'max', label: 'Largest', unit: 'largest magnitude of an element', value: ofRow('max'), format: formatNumber},
  {
    id: 'changed',
    label: 'Share changed',
    unit: 'share of elements that changed',
    value: ofRow('changed'),
    format: formatPercent
  },
  {
    id: 'cosine',
    label: 'Cosine',
    unit: 'cosine of the two vectors',
    pair: true,
    centre: 0,
    value: ({pair}) => pair ? numberOf(pair.cosine) : null,
    format: formatSigned
  },
  {
    id: 'sign',
    label: 'Sign agreement',
    unit: 'sign agreement less chance, where both changed',
    pair: true,
    centre: 0,
    value: ({pair}) =>
        pair && numberOf(pair.sign_agreement) !== null && numberOf(pair.sign_agreement_by_chance) !== null ?
        numberOf(pair.sign_agreement) - numberOf(pair.sign_agreement_by_chance) :
        null,
    format: formatPoints
  },
  {
    id: 'stable_rank',
    label: 'Stable rank',
    unit: 'squared Frobenius over squared spectral norm; middle of its bounds',
    spectral: true,
    value: ({row}) => spectrumMean(row, spectrum => middle(spectrum.stable_rank)),
    format: formatNumber
  },
  {
    id: 'effective_rank',
    label: 'Effective rank',
    unit: 'exponential of the entropy of singular values; middle of its bounds',
    spectral: true,
    value: ({row}) => spectrumMean(row, spectrum => middle(spectrum.effective_rank)),
    format: formatNumber
  },
  {
    id: 'fidelity',
    label: 'Realised norm',
    unit: 'norm that rounding leaves, over the norm wanted',
    centre: 1,
    value: ofRealised(realised => ratio(realised.realised_norm, realised.wanted_norm)),
    format: formatNumber
  },
  {
    id: 'realised_cosine',
    label: 'Realised cosine',
    unit: 'cosine of what rounding leaves with what was wanted',
    value: ofRealised(realised => numberOf(realised.cosine)),
    format: formatNumber
  },
];

function measureOf(id) {
  return MEASURES.find(measure => measure.id === id) || MEASURES[0];
}

/** The measures that this analysis has numbers for. */
function measuresIn(analysis) {
  return MEASURES.filter(measure => {
    if (measure.pair) return analysis.pairs.size > 0;
    const has = site => analysis.vectors.some((_, v) => measure.value(analysis.together(v, null, [site])) !== null);
    return analysis.sites.some(has);
  });
}

/** Everything known of {row, pair} as [label, exact text] lines, for a tooltip. */
function exactLines({row, pair}, withSpectrum = true) {
  const lines = [];
  const add = (label, value) => { if (value !== null && value !== undefined) lines.push([label, exact(value)]); };
  if (row) {
    for (const [label, key] of [
             ['norm', 'norm'], ['relative norm', 'relative_norm'], ['RMS', 'rms'], ['largest', 'max'],
             ['share changed', 'changed'], ['changed', 'changed_elements'], ['elements', 'elements'],
             ['not finite', 'non_finite']])
      add(label, numberOf(row[key]));
    if (row.realised) {
      add('realised norm', numberOf(row.realised.realised_norm));
      add('wanted norm', numberOf(row.realised.wanted_norm));
      add('realised cosine', numberOf(row.realised.cosine));
    }
    if (withSpectrum && row.spectrum) {
      for (const [label, range] of [
               ['stable rank', row.spectrum.stable_rank], ['effective rank', row.spectrum.effective_rank]])
        if (range)
          lines.push([label, [...new Set([exact(numberOf(range.low)), exact(numberOf(range.high))])].join(' to ')]);
    }
  }
  if (pair) {
    add('cosine', numberOf(pair.cosine));
    add('sign agreement', numberOf(pair.sign_agreement));
    add('… by chance', numberOf(pair.sign_agreement_by_chance));
    const [agreed, chance] = [numberOf(pair.sign_agreement), numberOf(pair.sign_agreement_by_chance)];
    if (agreed !== null && chance !== null) lines.push(['… less chance', formatPoints(agreed - chance)]);
    add('both changed', numberOf(pair.both_changed));
  }
  return lines;
}
