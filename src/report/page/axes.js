// Axes: places from numbers, round ticks, and their drawing.

function roundStep(span, count) {
  const raw = span / Math.max(1, count);
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const factor = [1, 2, 5, 10].find(candidate => candidate * power >= raw * 0.8) || 10;
  return factor * power;
}

function linearTicks(low, high, count) {
  if (!(high > low)) return [low];
  const step = roundStep(high - low, count);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high, count) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  if (last - first < 1) {
    const between = [1, 2, 5, 10, 20, 50].map(factor => factor * Math.pow(10, first - 1))
                        .filter(tick => tick >= low && tick <= high);
    return between.length > 1 ? between.map(tick => Number(tick.toPrecision(6))) : [low, high];
  }
  const step = Math.max(1, Math.ceil((last - first) / count));
  const ticks = [];
  for (let power = first; power <= last; power += step) ticks.push(Number(`1e${power}`));
  return ticks;
}

/** A function from [low, high] to [from, to], with its ticks and inverse. */
function makeAxis(low, high, from, to, {log = false, count = 5} = {}) {
  const place = log
    ? value => from + (Math.log(Math.max(value, low / 1e6) / low) / Math.log(high / low)) * (to - from)
    : value => from + ((value - low) / (high - low)) * (to - from);
  place.ticks = log ? logTicks(low, high, count) : linearTicks(low, high, count);
  place.invert = at =>
      log ? low * Math.pow(high / low, (at - from) / (to - from)) : low + ((at - from) / (to - from)) * (high - low);
  place.low = low;
  place.high = high;
  return place;
}

/** [low, high] of finite numbers, with room; with zero in it where `zero`. */
function extentOf(values, {zero = false, log = false, room = 0.05} = {}) {
  const used = values.filter(value => value !== null && Number.isFinite(value) && (!log || value > 0));
  if (used.length === 0) return log ? [0.1, 1] : [0, 1];
  let low = Infinity, high = -Infinity;
  for (const value of used) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (log)
    return low === high ? [low / 2, high * 2] : [low / Math.pow(high / low, room), high * Math.pow(high / low, room)];
  if (zero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (low === high) return [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const margin = (high - low) * room;
  return [zero && low === 0 ? 0 : low - margin, zero && high === 0 ? 0 : high + margin];
}

function horizontalAxis(axis, y, format, {title = '', from = 0, to = 0, grid = 0} = {}) {
  const group = svg('g', {class: 'axis'});
  for (const tick of axis.ticks) {
    const x = axis(tick);
    if (grid) group.append(svg('line', {class: 'grid', x1: x, x2: x, y1: y, y2: grid}));
    group.append(svg('text', {x, y: y + 15, 'text-anchor': 'middle'}, tickText(format, tick)));
  }
  group.append(svg('line', {class: 'rule', x1: from, x2: to, y1: y, y2: y}));
  if (title)
    group.append(svg('text', {class: 'axis-title', x: (from + to) / 2, y: y + 32, 'text-anchor': 'middle'}, title));
  return group;
}

function verticalAxis(axis, x, format, {title = '', to = 0} = {}) {
  const group = svg('g', {class: 'axis'});
  for (const tick of axis.ticks) {
    const y = axis(tick);
    group.append(svg('line', {class: 'grid', x1: x, x2: to, y1: y, y2: y}));
    group.append(svg('text', {x: x - 6, y: y + 4, 'text-anchor': 'end'}, tickText(format, tick)));
  }
  if (title) group.append(svg('text', {class: 'axis-title', x: 4, y: 11}, title));
  return group;
}

/** The path through points; a gap where a coordinate is no finite number. */
function linePath(points) {
  let path = '';
  let isDrawing = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      isDrawing = false;
      continue;
    }
    path += `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    isDrawing = true;
  }
  return path;
}

let gradients = 0;

/** A legend of a colour scale: its bar, ends and centre, and its unit. */
function colourLegend(scale, x, y, width, format, unit) {
  const id = `gradient-${++gradients}`;
  const group = svg('g', {class: 'legend axis'});
  group.append(svg('defs', {}, svg('linearGradient', {id}, ...scale.list.map((colour, i) =>
    svg('stop', {offset: i / (scale.list.length - 1), 'stop-color': colour})))));
  group.append(svg('rect', {x, y, width, height: 9, rx: 1.5, fill: `url(#${id})`}));
  const ends = [
    [0, 'start', (scale.clipsLow ? '≤ ' : '') + tickText(format, scale.low)],
    [0.5, 'middle', tickText(format, scale.at(0.5))],
    [1, 'end', (scale.clipsHigh ? '≥ ' : '') + tickText(format, scale.high)]
  ];
  for (const [share, anchor, text] of ends)
    group.append(svg('text', {x: x + share * width, y: y + 23, 'text-anchor': anchor}, text));
  group.append(svg('text', {class: 'axis-title', x, y: y + 39}, unit + (scale.log ? ', log scale' : '') +
    (scale.clipsLow || scale.clipsHigh ? ', 2 % at each end cut' : '')));
  return group;
}
