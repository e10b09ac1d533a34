// A view as a file: the figure as SVG or PNG with what the style sheet gave it, the numbers as CSV.

const EXPORTED_STYLES = [
  'fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-opacity', 'opacity', 'font-family',
  'font-size', 'font-weight', 'text-anchor', 'dominant-baseline'
];
const EXPORT_MARGIN = 16;

function download(fileName, blob) {
  const address = URL.createObjectURL(blob);
  const link = html('a', {href: address, download: fileName});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function inlineStyles(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) return;
  const style = getComputedStyle(from);
  for (const key of EXPORTED_STYLES) {
    const value = style.getPropertyValue(key);
    if (value && !(key === 'opacity' && value === '1')) to.setAttribute(key, value);
  }
  for (const attribute of ['class', 'tabindex', 'role', 'aria-activedescendant', 'aria-label', 'style'])
    to.removeAttribute(attribute);
  for (let i = 0; i < from.children.length; ++i) inlineStyles(from.children[i], to.children[i]);
}

/** {text, width, height} of a figure as a document of its own, under a title and a note. */
function figureText(figure, title, note) {
  const width = figure.clientWidth || Number(figure.getAttribute('width'));
  const height = figure.clientHeight || Number(figure.getAttribute('height'));
  const style = getComputedStyle(document.documentElement);
  const colour = key => style.getPropertyValue(key).trim();
  const head = 46;
  const copy = figure.cloneNode(true);
  inlineStyles(figure, copy);
  for (const dropped of copy.querySelectorAll('[data-screen]')) dropped.remove();
  copy.setAttribute('x', EXPORT_MARGIN);
  copy.setAttribute('y', head);
  copy.setAttribute('width', width);
  copy.setAttribute('height', height);
  const font = {'font-family': 'system-ui, sans-serif'};
  const whole =
      svg('svg', {xmlns: SVG_SPACE, width: width + 2 * EXPORT_MARGIN, height: height + head + EXPORT_MARGIN},
          svg('rect', {width: '100%', height: '100%', fill: colour('--surface')}),
          svg('text', {x: EXPORT_MARGIN, y: 21, 'font-size': 14, 'font-weight': 600, fill: colour('--ink'), ...font},
              title),
          svg('text', {x: EXPORT_MARGIN, y: 37, 'font-size': 11, fill: colour('--muted'), ...font},
              shortened(note, Math.floor(width / 5.6))),
          copy);
  return {
    text: new XMLSerializer().serializeToString(whole),
    width: width + 2 * EXPORT_MARGIN,
    height: height + head + EXPORT_MARGIN
  };
}

function exportSvg(fileName, figure, title, note) {
  download(fileName + '.svg', new Blob([figureText(figure, title, note).text], {type: 'image/svg+xml'}));
}

function exportPng(fileName, figure, title, note) {
  const {text, width, height} = figureText(figure, title, note);
  const address = URL.createObjectURL(new Blob([text], {type: 'image/svg+xml'}));
  const image = new Image();
  image.onload = () => {
    const canvas = html('canvas', {width: 2 * width, height: 2 * height});
    const context = canvas.getContext('2d');
    context.scale(2, 2);
    context.drawImage(image, 0, 0);
    URL.revokeObjectURL(address);
    canvas.toBlob(blob => { if (blob) download(fileName + '.png', blob); }, 'image/png');
  };
  image.onerror = () => say('the picture could not be made');
  image.src = address;
}

function exportCsv(fileName, rows) {
  download(fileName + '.csv', new Blob([csvText(rows)], {type: 'text/csv;charset=utf-8'}));
}
