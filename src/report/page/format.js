// Numbers as text: short for axes and tables, exact for what hovers.

/** A number of the payload: null where there is none; "nan", "inf" and "-inf" are themselves. */
function numberOf(value) {
  if (typeof value === 'number') return value;
  if (value === 'nan') return NaN;
  if (value === 'inf') return Infinity;
  if (value === '-inf') return -Infinity;
  return null;
}

const MINUS = '\u2212';

function withMinus(text) {
  return text.replace(/^-/, MINUS).replace('e-', 'e' + MINUS).replace('e+', 'e');
}

/** Every digit that the payload has. */
function exact(value) {
  if (value === null || value === undefined) return '–';
  return Number.isNaN(value) ? 'nan' : value === Infinity ? 'inf' : value === -Infinity ? '-inf' : String(value);
}

/** Four significant digits, in scientific form where that is shorter. */
function formatNumber(value) {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return exact(value);
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1e-3 && size < 1e6) return withMinus(String(Number(value.toPrecision(4))));
  return withMinus(String(Number(value.toPrecision(4)).toExponential()));
}

function formatPercent(value) {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return exact(value);
  const percent = 100 * value;
  const size = Math.abs(percent);
  if (size !== 0 && size < 0.01) return withMinus(percent.toExponential(1)) + ' %';
  return withMinus(percent.toFixed(size < 1 ? 3 : 1)) + ' %';
}

/** A number beside an axis: without zeros that say nothing. */
function tickText(format, value) {
  return format(value).replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');
}

function formatSigned(value) {
  const text =
      value !== null && Number.isFinite(value) ? formatNumber(Number(value.toPrecision(3))) : formatNumber(value);
  return value > 0 ? '+' + text : text;
}

/** A difference of shares, in percentage points. */
function formatPoints(value) {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return exact(value);
  const points = 100 * value;
  return (points > 0 ? '+' : '') + withMinus(points.toFixed(Math.abs(points) < 1 ? 2 : 1)) + ' pp';
}

function formatP(value) {
  if (value === null || value === undefined) return '–';
  return value < 0.001 ? '< 0.001' : value.toFixed(3);
}

function scaled(value, units, step) {
  let unit = 0;
  while (value >= step - step / 2000 && unit + 1 < units.length) {
    value /= step;
    ++unit;
  }
  return (unit === 0 ? String(Math.round(value)) : value.toFixed(1)) + units[unit];
}

function formatCount(value) {
  return value === null || value === undefined ? '–' : scaled(value, ['', ' k', ' M', ' G', ' T'], 1000);
}

function formatBytes(value) {
  return value === null || value === undefined ? '–' : scaled(value, [' B', ' kB', ' MB', ' GB', ' TB'], 1000);
}

function formatShape(shape) {
  return Array.isArray(shape) ? shape.join(' × ') : '';
}

/** A text cell of a CSV file that no spreadsheet takes for a formula; numbers stay numbers. */
function csvCell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return exact(value);
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text)) text = "'" + text;
  return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
}

function csvText(rows) {
  return rows.map(row => row.map(csvCell).join(',')).join('\r\n') + '\r\n';
}
