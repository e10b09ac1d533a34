// Colours that are told apart without red and green, and the scales from numbers to them.

// Viridis at nine places; between them colours are mixed in RGB.
const SEQUENTIAL = ['#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'];
const DIVERGING = {
  light: ['#1b4f8f', '#4d8ac4', '#a9cbe6', '#f6f6f4', '#f5b79f', '#d6604d', '#9c1a2c'],
  dark: ['#8ec5ff', '#4f93dc', '#2d5688', '#2b2e35', '#86402f', '#d9694f', '#ffb29a'],
};
// Lines: Okabe and Ito's, darkened or lightened for contrast with the page.
const LINES = {
  light: [
    '#0b6aa8', '#c4500c', '#007a5a', '#a03f78', '#7a6000', '#2f7fae', '#5c5f66', '#6b4fa0', '#a3261e', '#3b7a1e',
    '#8a5a2b', '#00707a'
  ],
  dark: [
    '#62b5f0', '#f29a52', '#3ecfa2', '#e08bbd', '#e6cf4a', '#9ad0ee', '#b4bac4', '#b9a2f0', '#f0857c', '#9ad36a',
    '#d3a878', '#5fd2dc'
  ],
};

function channels(hex) {
  return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
}

const stopTables = new Map();
function stopsOf(list) {
  if (!stopTables.has(list)) stopTables.set(list, list.map(channels));
  return stopTables.get(list);
}

/** The colour at `share` (0 to 1) of a list of stops. */
function mixed(list, share) {
  const stops = stopsOf(list);
  const place = (Number.isFinite(share) ? clamp(share, 0, 1) : 0) * (stops.length - 1);
  const at = Math.min(Math.floor(place), stops.length - 2);
  const part = place - at;
  const hex = stops[at].map((low, i) =>
    Math.round(low + (stops[at + 1][i] - low) * part).toString(16).padStart(2, '0'));
  return '#' + hex.join('');
}

function quantile(sorted, share) {
  if (sorted.length === 0) return NaN;
  const place = share * (sorted.length - 1);
  const at = Math.floor(place);
  const next = Math.min(at + 1, sorted.length - 1);
  return sorted[at] + (sorted[next] - sorted[at]) * (place - at);
}

/**
 * A scale from numbers to colours. `centre` (a number) makes it diverging and symmetric about it;
 * `log` applies to positive numbers and is left out where it cannot; `clip` ends the scale at the
 * 2nd and 98th percentile. Result: {low, high, log, share(v), colour(v), at(share)}.
 */
function makeScale(values, {log = false, clip = false, centre = null, theme = 'light'} = {}) {
  const sorted = values.filter(value => value !== null && Number.isFinite(value)).sort((a, b) => a - b);
  const diverging = centre !== null && centre !== undefined;
  const list = diverging ? DIVERGING[theme] : SEQUENTIAL;
  let low, high, useLog = false;
  if (diverging) {
    const reach = sorted.map(value => Math.abs(value - centre)).sort((a, b) => a - b);
    const extent = (clip ? quantile(reach, 0.98) : reach[reach.length - 1]) || 1e-9;
    [low, high] = [centre - extent, centre + extent];
  } else {
    const positive = sorted.filter(value => value > 0);
    useLog = log && positive.length > 0;
    const used = useLog ? positive : sorted;
    low = used.length ? (clip ? quantile(used, 0.02) : used[0]) : 0;
    high = used.length ? (clip ? quantile(used, 0.98) : used[used.length - 1]) : 1;
    if (!useLog && low > 0 && low < 0.5 * high) low = 0;
    if (low === high)
      [low, high] = useLog ? [low / 2, high * 2] : [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
  }
  const share = value => useLog
    ? (value > 0 ? Math.log(value / low) / Math.log(high / low) : 0)
    : (value - low) / (high - low);
  return {
    low, high, log: useLog, diverging, centre, list,
    clipsLow: sorted.length > 0 && sorted[0] < low && !(useLog && low <= 0),
    clipsHigh: sorted.length > 0 && sorted[sorted.length - 1] > high,
    share,
    colour: value => value === null || !Number.isFinite(value) ? null : mixed(list, share(value)),
    at: part => useLog ? low * Math.pow(high / low, part) : low + (high - low) * part,
  };
}
