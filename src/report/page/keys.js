// The keyboard beyond the views' own keys, and the sheet that tells all of them.

const KEY_HELP = [
  ['arrows', 'move in the map, along the layers, in the table'],
  ['Enter', 'look closer; on a label: select its row or column'],
  ['Space', 'add to the selection, or take out'],
  ['Shift + arrows', 'extend the selection'],
  ['Esc', 'one step back'],
  ['m, M', 'next and previous measure'],
  ['v', 'next vector'],
  ['l, c', 'log scale, cut ends'],
  ['g', 'go to the map'],
  ['/', 'search the tensors'],
  ['t', 'light, dark, as the system'],
  ['?', 'this sheet'],
  ['click, drag', 'look closer, select a rectangle'],
  ['Ctrl + click', 'add to the selection, or take out'],
  ['Shift + click', 'select from the last place to this one'],
];

function makeKeys(views) {
  const sheet = html(
      'dialog', {id: 'keys', 'aria-label': 'Keys'}, html('h2', {}, 'Keys'),
      html(
          'dl', {},
          ...KEY_HELP.map(
              ([key, text]) => html('div', {}, html('dt', {}, html('kbd', {}, key)), html('dd', {}, text)))),
      html('form', {method: 'dialog'}, html('button', {class: 'copy'}, 'close')));
  // A form may not be sent from this page: the button closes the sheet itself.
  sheet.querySelector('form').addEventListener('submit', event => {
    event.preventDefault();
    sheet.close();
  });
  document.body.append(sheet);
  const toggle = () => sheet.open ? sheet.close() : sheet.showModal();
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches && event.target.matches('input:not([type=checkbox]), textarea, select');
    if (event.key === 'Escape') {
      if (sheet.open) return;
      hideTip();
      if (typing) event.target.blur();
      else goBack();
      return;
    }
    if (typing || sheet.open && event.key !== '?') return;
    const act = keyActions(views, toggle)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  return toggle;
}

function keyActions(views, toggle) {
  const step = (list, value, by) => list[(list.indexOf(value) + by + list.length) % list.length];
  const measures = by => {
    const analysis = analysisNow();
    if (analysis) setView({m: step(analysis.measures.map(measure => measure.id), store.view.m, by)});
  };
  return {
    '?': toggle,
    m: () => measures(1),
    M: () => measures(-1),
    v: () => {
      const analysis = analysisNow();
      if (analysis) setView({v: (store.view.v + 1) % analysis.vectors.length});
    },
    l: () => setView({log: !store.view.log}),
    c: () => setView({clip: !store.view.clip}),
    t: nextTheme,
    g: () => views.map.focus(),
    '/': () => views.table.focusSearch(),
  };
}

const THEMES = ['auto', 'light', 'dark'];

function nextTheme() {
  setView({th: THEMES[(THEMES.indexOf(store.view.th) + 1) % THEMES.length]});
}

function applyTheme() {
  document.documentElement.dataset.theme = themeNow();
}
