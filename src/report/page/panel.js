// The frame of a view: heading, a line that says what is seen, its own switches, its export buttons.

/** A panel in `host`. `csv()` gives its numbers as rows; `figure`: whether it has an <svg> to export. */
function makePanel(host, {id, title, csv = null, figure = true, level = 2}) {
  const note = html('p', {class: 'note', id: `${id}-note`});
  const tools = html('div', {class: 'tools'});
  const exports = html('div', {class: 'exports', role: 'group', 'aria-label': `Export: ${title}`});
  const body = html('div', {class: 'panel-body'});
  const heading = html(`h${level}`, {id: `${id}-title`}, title);
  const section = html('section', {class: 'panel', id, 'aria-labelledby': `${id}-title`},
    html('header', {}, html('div', {class: 'panel-head'}, heading, exports), note, tools), body);
  host.append(section);
  const panel = {id, section, heading, note, tools, body, title};
  const fileName = `suture-${id}`;
  const button = (label, what, act) => exports.append(html(
      'button', {type: 'button', class: 'quiet', 'aria-label': `${title} as ${label}`, title: what, onclick: act},
      label));
  const drawing = () => body.querySelector('svg.figure');
  if (figure) {
    const save = work => () => drawing() && work(fileName, drawing(), heading.textContent, note.textContent);
    button('PNG', 'save as a picture', save(exportPng));
    button('SVG', 'save as a drawing', save(exportSvg));
  }
  if (csv) button('CSV', 'save the numbers', () => exportCsv(fileName, csv()));
  panel.setNote = (...parts) =>
      note.replaceChildren(...parts.filter(Boolean).map(part => part instanceof Node ? part : String(part)));
  panel.setShown = shown => { section.hidden = !shown; };
  panel.width = () => Math.max(220, Math.floor(body.clientWidth));
  return panel;
}

/** A labelled <select>. `options` are [value, text]. */
function chooser(label, options, value, act, attributes) {
  const select = html('select', {onchange: event => act(event.target.value), ...attributes},
    ...options.map(([key, text]) => html('option', {value: key}, text)));
  select.value = String(value);
  return html('label', {class: 'choice'}, html('span', {}, label), select);
}

function checkbox(label, checked, act, attributes) {
  const box = html('input', {type: 'checkbox', onchange: event => act(event.target.checked), ...attributes});
  box.checked = checked;
  return html('label', {class: 'check'}, box, html('span', {}, label));
}

/** Buttons of which one is pressed. */
function segments(label, options, value, act) {
  return html(
      'div', {class: 'segments', role: 'group', 'aria-label': label},
      ...options.map(
          ([key, text]) => html(
              'button', {
                type: 'button',
                'aria-pressed': key === value ? 'true' : 'false',
                'data-value': key,
                onclick: () => act(key)
              },
              text)));
}

/** A button that puts `text()` on the clipboard and says so. */
function copyButton(label, text) {
  const button = html('button', {type: 'button', class: 'copy', onclick: () => {
    const done = worked => {
      button.textContent = worked ? 'copied' : 'press Ctrl+C';
      say(worked ? 'copied' : 'select the text and copy it by hand');
      setTimeout(() => { button.textContent = label; }, 1500);
    };
    copyText(text()).then(done);
  }}, label);
  return button;
}

// From a file there is no clipboard object in some browsers: then by the old command.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = html('textarea', {class: 'unseen', 'aria-hidden': 'true'});
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

/** Fills a panel's body with a figure, keeping what had the focus. */
function setFigure(panel, figure) {
  const focused = panel.body.contains(document.activeElement) ? document.activeElement.id : '';
  panel.body.replaceChildren(figure);
  if (focused) {
    const again = document.getElementById(focused);
    if (again) again.focus({preventScroll: true});
  }
}

function emptyText(text) {
  return html('p', {class: 'empty'}, text);
}
