// Pointer and keyboard on the map: look, drill down, select.

/** {row, column} under a place of the window; -1 for labels, null outside. */
function mapPlace(map, clientX, clientY) {
  const analysis = analysisNow();
  const box = map.figure.getBoundingClientRect();
  const [px, py] = [clientX - box.left, clientY - box.top];
  const column = px < MAP_LABELS ? -1 : Math.floor((px - MAP_LABELS) / map.cellWidth);
  if (column >= analysis.columns.length || py > map.geometry.bottom) return null;
  let row = -1;
  if (py >= MAP_HEADER) {
    row = analysis.rows.findIndex((_, i) => py >= map.geometry.y(i) && py < map.geometry.y(i) + map.geometry.height);
    if (row < 0) return null;
  }
  return row < 0 && column < 0 ? null : {row, column};
}

function listenToMap(map) {
  const {figure} = map;
  figure.addEventListener('pointermove', framed(event => {
    const place = mapPlace(map, event.clientX, event.clientY);
    if (map.drag && place && event.buttons) dragTo(map, place);
    if (!place) {
      setHover(null);
      hideTip();
      return;
    }
    hoverPlace(place);
    showTip(event.clientX, event.clientY, ...mapContent(place.row, place.column));
  }));
  figure.addEventListener('pointerleave', framed(() => {
    setHover(null);
    hideTip();
  }));
  figure.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    const place = mapPlace(map, event.clientX, event.clientY);
    map.drag = place ? {from: place, to: place, moved: false} : null;
  });
  figure.addEventListener('pointerup', event => endDrag(map, event));
  figure.addEventListener('pointercancel', () => { map.drag = null; });
  figure.addEventListener('keydown', event => mapKey(map, event));
  figure.addEventListener('blur', hideTip);
}

function hoverPlace({row, column}) {
  const analysis = analysisNow();
  setHover({layer: row < 0 ? null : analysis.rows[row], module: column < 0 ? null : analysis.columns[column]});
}

function spanOf(a, b) {
  return [Math.min(a, b), Math.max(a, b)];
}

/** Whether (row, column) lies between two places; a label stands for its whole row or column. */
function isBetween(from, to, row, column) {
  const rowsOnly = from.column < 0 || to.column < 0;
  const columnsOnly = from.row < 0 || to.row < 0;
  const [top, bottom] = spanOf(from.row, to.row);
  const [left, right] = spanOf(from.column, to.column);
  return (columnsOnly || (row >= top && row <= bottom)) && (rowsOnly || (column >= left && column <= right));
}

function dragTo(map, place) {
  map.drag.to = place;
  if (place.row !== map.drag.from.row || place.column !== map.drag.from.column) map.drag.moved = true;
  if (!map.drag.moved) return;
  const from = boxOf(map, map.drag.from.row, map.drag.from.column);
  const to = boxOf(map, place.row, place.column);
  const [x, y] = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
  setBox(map.dragMark, {
    x,
    y,
    width: Math.max(from.x + from.width, to.x + to.width) - x,
    height: Math.max(from.y + from.height, to.y + to.height) - y
  });
}

function endDrag(map, event) {
  const {drag} = map;
  map.drag = null;
  map.dragMark.setAttribute('visibility', 'hidden');
  if (!drag) return;
  const place = mapPlace(map, event.clientX, event.clientY) || drag.to;
  map.cursor = place;
  moveCursorMark(map);
  if (place.row !== drag.from.row || place.column !== drag.from.column) {
    selectBetween(drag.from, place, event.ctrlKey || event.metaKey);
    map.anchor = drag.from;
  } else if (event.shiftKey) {
    selectBetween(map.anchor || place, place, event.ctrlKey || event.metaKey);
  } else if (event.ctrlKey || event.metaKey) {
    togglePlace(place);
    map.anchor = place;
  } else if (place.row < 0 || place.column < 0) {
    pickOnly(place);
    map.anchor = place;
  } else {
    map.anchor = place;
    openPlace(place);
  }
}

/** Opens the details of a place; what is open already is closed. */
function openPlace({row, column}) {
  const analysis = analysisNow();
  const layer = row < 0 ? null : analysis.rows[row];
  const module = column < 0 ? null : analysis.columns[column];
  const text = placeText(layer, module);
  if (placeOf(text, analysis) === null) return;
  setView({at: store.view.at === text && store.view.t === null ? null : text, t: null});
}

function isPickedNow(row, column) {
  if (store.view.sel === '' || !selectionNow()) return false;
  const analysis = analysisNow();
  return isPlaceSelected(row < 0 ? null : analysis.rows[row], column < 0 ? null : analysis.columns[column]);
}

function selectPlaces(isPicked) {
  const analysis = analysisNow();
  selectCells((layer, module) => isPicked(analysis.rows.indexOf(layer), analysis.columns.indexOf(module)));
}

function selectBetween(from, to, adds) {
  selectPlaces((row, column) => isBetween(from, to, row, column) || (adds && isPickedNow(row, column)));
}

/** Adds a place to the selection, or takes it out where all of it is in. */
function togglePlace(place) {
  const analysis = analysisNow();
  const inside = [...analysis.cells.keys()]
                     .map(key => [Math.floor(key / analysis.columns.length), key % analysis.columns.length])
                     .filter(([row, column]) => isBetween(place, place, row, column));
  const isIn = inside.length > 0 && inside.every(([row, column]) => isPickedNow(row, column));
  selectPlaces((row, column) => isBetween(place, place, row, column) ? !isIn : isPickedNow(row, column));
}

/** Selects a whole row or column, and nothing where just that is selected. */
function pickOnly(place) {
  const analysis = analysisNow();
  const text = selectionText(analysis.sites, (layer, module) =>
    isBetween(place, place, analysis.rows.indexOf(layer === null ? OUTSIDE : layer), analysis.columns.indexOf(module)));
  setView({sel: text === null || text === store.view.sel ? '' : text});
}

function moveCursorMark(map) {
  setBox(map.cursorMark, boxOf(map, map.cursor.row, map.cursor.column));
}

const MAP_MOVES = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};

function mapKey(map, event) {
  const analysis = analysisNow();
  const {cursor} = map;
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const last = {row: analysis.rows.length - 1, column: analysis.columns.length - 1};
  let next = null;
  if (MAP_MOVES[event.key]) {
    const [down, right] = MAP_MOVES[event.key];
    next = {row: clamp(cursor.row + down, -1, last.row), column: clamp(cursor.column + right, -1, last.column)};
    if (next.row < 0 && next.column < 0) next = cursor;
  } else if (event.key === 'Home') next = {row: cursor.row, column: 0};
  else if (event.key === 'End') next = {row: cursor.row, column: last.column};
  else if (event.key === 'PageUp') next = {row: 0, column: cursor.column};
  else if (event.key === 'PageDown') next = {row: last.row, column: cursor.column};
  if (next) {
    event.preventDefault();
    if (event.shiftKey) {
      map.anchor = map.anchor || cursor;
      selectBetween(map.anchor, next, false);
    } else {
      map.anchor = null;
    }
    map.cursor = next;
    moveCursorMark(map);
    if (next.row >= 0 && next.column >= 0)
      map.figure.setAttribute('aria-activedescendant', `cell-${next.row}-${next.column}`);
    else map.figure.removeAttribute('aria-activedescendant');
    hoverPlace(next);
    tipAt(map.cursorMark, ...mapContent(next.row, next.column));
  } else if (event.key === 'Enter') {
    event.preventDefault();
    if (cursor.row < 0 || cursor.column < 0) pickOnly(cursor);
    else openPlace(cursor);
  } else if (event.key === ' ') {
    event.preventDefault();
    togglePlace(cursor);
    map.anchor = cursor;
  }
}
