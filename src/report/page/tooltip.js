// The exact numbers of what lies under the pointer or the keyboard's cursor, and the same in words
// for screen readers.

const tip = {box: null, title: null, list: null, key: null};

function makeTip() {
  tip.title = html('p', {class: 'tip-title'});
  tip.list = html('dl', {});
  tip.box = html('div', {class: 'tip', role: 'tooltip', id: 'tip', hidden: true}, tip.title, tip.list);
  tip.said = html('p', {class: 'unseen', id: 'said', role: 'status', 'aria-live': 'polite'});
  document.body.append(tip.box, tip.said);
}

/** Shows `lines` ([label, text]) at a place of the window. Line number `strong` stands out. */
function showTip(x, y, title, lines, strong = -1) {
  const key = title + '\n' + lines.map(line => line.join('\t')).join('\n') + strong;
  if (key !== tip.key) {
    tip.key = key;
    tip.title.textContent = title;
    tip.list.replaceChildren(...lines.map(([label, text], i) =>
      html('div', {class: i === strong ? 'strong' : null}, html('dt', {}, label), html('dd', {}, text))));
  }
  tip.box.hidden = false;
  const {offsetWidth: width, offsetHeight: height} = tip.box;
  const left = x + 16 + width > innerWidth - 8 ? x - 16 - width : x + 16;
  tip.box.style.left = `${clamp(left, 8, Math.max(8, innerWidth - width - 8))}px`;
  tip.box.style.top = `${
      clamp(y + 14 + height > innerHeight - 8 ? y - 14 - height : y + 14, 8, Math.max(8, innerHeight - height - 8))}px`;
}

function hideTip() {
  tip.box.hidden = true;
}

function say(text) {
  tip.said.textContent = text;
}

/** Shows and says what the keyboard's cursor is on, beside `element`. */
function tipAt(element, title, lines, strong) {
  const box = element.getBoundingClientRect();
  showTip(box.right, box.bottom, title, lines, strong);
  say([title, ...lines.map(line => line.join(' '))].join(', '));
}

/** An element whose tooltip shows on hover and on focus; `content()` gives [title, lines, strong]. */
function withTip(element, content) {
  element.addEventListener('pointermove', event => showTip(event.clientX, event.clientY, ...content()));
  element.addEventListener('pointerleave', hideTip);
  element.addEventListener('focus', () => { if (element.matches(':focus-visible')) tipAt(element, ...content()); });
  element.addEventListener('blur', hideTip);
  return element;
}

/** Makes the marks of a figure one stop of the tab key; these keys go from one to the next. */
function stepThrough(figure, selector, back, forward) {
  const marks = [...figure.querySelectorAll(selector)];
  marks.forEach((mark, i) => {
    mark.setAttribute('tabindex', i === 0 ? 0 : -1);
    mark.addEventListener('keydown', event => {
      const next = marks[i + (event.key === forward ? 1 : event.key === back ? -1 : NaN)];
      if (!next) return;
      event.preventDefault();
      next.focus();
    });
  });
}
