'use strict';

// Elements are made here and nowhere else. Text only ever enters as text nodes, and text from
// files passes `visible` first.

const SVG_SPACE = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG_SPACE, tag), attributes, children);
}

// Characters that are not seen, or that change how others are seen: controls, line ends, marks of
// direction, zero width, halves of surrogate pairs.
const UNSEEN =
    /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;

function escapedCharacter(character) {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  return Array.from({length: character.length}, (_, i) =>
    '\\u' + character.charCodeAt(i).toString(16).padStart(4, '0')).join('');
}

/** `text` of a file as it may be shown: what is not seen is written out, `\u202e`. */
function visible(text) {
  return String(text === null || text === undefined ? '' : text).replace(UNSEEN, escapedCharacter);
}

/** `visible(text)`, and where it is longer than `length`, its beginning and end. */
function shortened(text, length) {
  const characters = Array.from(visible(text));
  if (characters.length <= length) return characters.join('');
  const kept = Math.max(2, length - 1);
  return characters.slice(0, Math.ceil(kept / 2)).join('') + '…' +
    characters.slice(characters.length - Math.floor(kept / 2)).join('');
}

/** A name from a file, kept from reordering its neighbours. */
function nameOf(text, attributes) {
  return html('bdi', {class: 'name', dir: 'ltr', ...attributes}, visible(text));
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function plural(count, one, many) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many || one + 's'}`;
}

/** Calls `work` once the calls have stopped coming for `wait` milliseconds. */
function settled(work, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

/** Calls `work` at most once a frame, with the newest arguments. */
function framed(work) {
  let waiting = null;
  return (...given) => {
    if (waiting === null) requestAnimationFrame(() => {
      const newest = waiting;
      waiting = null;
      work(...newest);
    });
    waiting = given;
  };
}
