// Where the numbers come from: inputs with digests, the command, versions, warnings, protocols.

function makeProvenance(host) {
  const {payload, ablations, others} = store.model;
  const panel = makePanel(
      host, {id: 'provenance', title: 'Where this comes from', csv: () => provenanceCsv(payload), figure: false});
  const part = (title, ...content) =>
      panel.body.append(html('div', {class: 'part'}, html('h3', {}, title), ...content));
  if ((payload.warnings || []).length > 0)
    part('Warnings', html('ul', {class: 'warnings'}, ...payload.warnings.map(text => html('li', {}, nameOf(text)))));
  if (Array.isArray(payload.command) && payload.command.length > 0) {
    const text = payload.command.map(shellWord).join(' ');
    part('Command', html('div', {class: 'command'}, html('code', {}, visible(text)), copyButton('copy', () => text)));
  }
  if ((payload.inputs || []).length > 0) part('Inputs', inputsTable(payload.inputs));
  for (const ablation of ablations) part(`Ablation: ${visible(ablation.source)}`, protocolList(ablation));
  const facts = [
    ['suture', payload.suture],
    ...(payload.results || []).map(({source, result}) => [source, result ? result.schema : ''])
  ];
  part('Versions and results', factsList(facts));
  if (others.length > 0)
    panel.body.append(html(
        'p', {class: 'note'}, `Not drawn on this page: ${others.map(other => visible(other.source)).join(', ')}.`));
  panel.setNote('Digests are XXH3 of the tensors’ bytes, 128 bits.');
}

function inputsTable(inputs) {
  return html(
      'div', {class: 'scroll-x'},
      html(
          'table', {class: 'plain'},
          html(
              'thead', {},
              html(
                  'tr', {},
                  ...['name', 'role', 'formula', 'digest', 'files'].map(text => html('th', {scope: 'col'}, text)))),
          html(
              'tbody', {},
              ...inputs.map(
                  input => html(
                      'tr', {}, html('td', {}, nameOf(input.name)), html('td', {}, visible(input.role)),
                      html('td', {}, nameOf(input.formula)), html('td', {}, html('code', {}, visible(input.digest))),
                      html(
                          'td', {},
                          ...(input.files || [])
                              .map(file => html('div', {}, nameOf(file.name), ` ${formatBytes(file.bytes)}`))))))));
}

function factsList(facts) {
  return html(
      'dl', {class: 'facts'},
      ...facts.filter(([, value]) => value !== null && value !== undefined && value !== '')
          .map(([label, value]) => html('div', {}, html('dt', {}, visible(label)), html('dd', {}, nameOf(value)))));
}

/** Everything that a protocol says, nested parts with their path. */
function flatFacts(value, path = '') {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value))
    return value.length === 0 ? [] :
        value.every(part => typeof part !== 'object' || part === null) ?
                                [[path, value.map(String).join(', ')]] :
                                value.flatMap((part, i) => flatFacts(part, `${path} ${i + 1}`));
  if (typeof value === 'object')
    return Object.entries(value).flatMap(([key, part]) => flatFacts(part, path ? `${path} · ${key}` : key));
  return [[path, value === '' ? '(empty)' : String(value)]];
}

function protocolList(ablation) {
  return html(
      'div', {}, factsList(flatFacts(ablation.protocol)), html('h4', {}, 'Statistics'),
      factsList(flatFacts(ablation.statistics)),
      ...ablation.tasks.map(
          task => html('details', {}, html('summary', {}, 'Task ', nameOf(task.task)), factsList(flatFacts(task)))));
}

function provenanceCsv(payload) {
  return [
    ['name', 'role', 'formula', 'digest', 'files'],
    ...(payload.inputs || [])
        .map(
            input =>
                [input.name, input.role, input.formula, input.digest,
                 (input.files || []).map(file => `${file.name} ${file.bytes}`).join('; ')])
  ];
}
