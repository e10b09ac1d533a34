// The view as the part of the address behind `#`: `m=rms&sel=layer%3D0-3`. What is read back is
// hostile: every key has a check of its own, and what fails it is as if it were not there.

const LONGEST_ADDRESS = 100000;

const DEFAULT_VIEW = {
  an: 0, v: 0, w: 1, m: 'relative', log: false, clip: false, sel: '', at: null, t: null, show: 'modules',
  ab: 0, am: null, fam: null, cmp: null, q: '', sort: 'norm', down: true, th: 'auto', xs: null, xo: '', xp: '',
};

const smallNumber = text => /^\d{1,4}$/.test(text) ? Number(text) : undefined;
const flag = text => text === '1' ? true : text === '0' ? false : undefined;
const word = text => /^[a-z_]{1,32}$/.test(text) ? text : undefined;
const textUpTo = length => text => text.length <= length ? text : undefined;

const READERS = {
  an: smallNumber,
  v: smallNumber,
  w: smallNumber,
  m: word,
  log: flag,
  clip: flag,
  sel: textUpTo(65536),
  at: textUpTo(2000),
  t: textUpTo(4000),
  show: text => ['modules', 'vectors'].includes(text) ? text : undefined,
  ab: smallNumber,
  am: smallNumber,
  fam: textUpTo(500),
  cmp: word,
  q: textUpTo(1000),
  sort: word,
  down: flag,
  th: text => ['auto', 'light', 'dark'].includes(text) ? text : undefined,
  xs: text => {
    const scales = text.split(',').map(Number);
    return text.length < 2000 && scales.every(Number.isFinite) ? scales : undefined;
  },
  xo: textUpTo(65536), xp: textUpTo(10000),
};

function writeAddress(view) {
  const parts = [];
  for (const [key, initial] of Object.entries(DEFAULT_VIEW)) {
    const value = view[key];
    if (value === initial || value === null || value === undefined) continue;
    const text = value === true ? '1' : value === false ? '0' : Array.isArray(value) ? value.join(',') : String(value);
    // A half of a surrogate pair has no encoding.
    const whole = text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
    parts.push(`${key}=${encodeURIComponent(whole)}`);
  }
  return parts.join('&');
}

function readAddress(hash) {
  const view = {...DEFAULT_VIEW};
  const text = hash.replace(/^#/, '');
  if (text.length > LONGEST_ADDRESS) return view;
  for (const part of text.split('&')) {
    const equals = part.indexOf('=');
    const key = part.slice(0, equals);
    if (equals < 1 || !Object.prototype.hasOwnProperty.call(READERS, key)) continue;
    let value;
    try {
      value = READERS[key](decodeURIComponent(part.slice(equals + 1)));
    } catch {
      continue;
    }
    if (value !== undefined) view[key] = value;
  }
  return view;
}
