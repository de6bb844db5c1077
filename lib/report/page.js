/** Runs in the report: theme, choice of metric, the table of classes, copying. Without it the page still reads. */
(() => {
  'use strict';
  const root = document.documentElement;
  root.classList.add('scripted');

  /** @param {string} id */
  const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

  const theme = element('theme');
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (root.style.colorScheme || (prefersDark.matches ? 'dark' : 'light')) === 'dark';
  const themeChanged = () => {
    theme.textContent = isDark() ? 'Light theme' : 'Dark theme';
    document.dispatchEvent(new Event('themechange'));
  };
  theme.addEventListener('click', () => {
    root.style.colorScheme = isDark() ? 'light' : 'dark';
    themeChanged();
  });
  prefersDark.addEventListener('change', themeChanged);
  themeChanged();

  let onScreen = '';
  addEventListener('beforeprint', () => {
    onScreen = root.style.colorScheme;
    root.style.colorScheme = 'light';
    document.dispatchEvent(new Event('themechange'));
  });
  addEventListener('afterprint', () => {
    root.style.colorScheme = onScreen;
    document.dispatchEvent(new Event('themechange'));
  });

  const metrics = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name=metric]'));
  const showMetric = () => {
    const chosen = [...metrics].find((radio) => radio.checked)?.value;
    for (const part of element('score-table').querySelectorAll('tbody')) part.hidden = part.dataset.metric !== chosen;
  };
  for (const radio of metrics) radio.addEventListener('change', showMetric);
  showMetric();

  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.copy'))) {
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy ?? '');
        button.textContent = 'Copied';
      } catch {
        // No clipboard here: the text is selected for the keyboard instead.
        getSelection()?.selectAllChildren(/** @type {Element} */ (button.previousElementSibling));
        button.textContent = 'Selected';
      }
      setTimeout(() => {
        button.textContent = 'Copy';
      }, 2000);
    });
  }

  const PAGE = 25;
  const table = element('class-table');
  const tableBody = /** @type {HTMLTableSectionElement} */ (table.querySelector('tbody'));
  const headings = [.../** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll('thead th'))];
  const filter = /** @type {HTMLInputElement} */ (element('class-filter'));
  const [previous, next] = [element('class-previous'), element('class-next')].map(
    (button) => /** @type {HTMLButtonElement} */ (button),
  );
  const rows = [...tableBody.rows];
  let start = 0;

  const showRows = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = rows.filter((row) => row.cells[0]?.textContent?.toLowerCase().includes(wanted));
    start = Math.max(0, Math.min(start, Math.floor((found.length - 1) / PAGE) * PAGE));
    const shown = found.slice(start, start + PAGE);
    tableBody.replaceChildren(...shown);
    const all = found.length.toLocaleString('en-US');
    element('class-status').textContent =
      found.length === 0 ? 'none' : `${start + 1}–${start + shown.length} of ${all}`;
    if (previous) previous.disabled = start === 0;
    if (next) next.disabled = start + PAGE >= found.length;
  };

  /** @param {number} column @param {number} direction 1 rising, -1 falling */
  const sortRows = (column, direction) => {
    /** @param {HTMLTableRowElement} row */
    const text = (row) => row.cells[column]?.textContent ?? '';
    /** @param {HTMLTableRowElement} row */
    const value = (row) => Number(row.cells[column]?.dataset.value);
    rows.sort((a, b) => {
      const order = column === 0 ? text(a).localeCompare(text(b), 'en', { numeric: true }) : value(a) - value(b);
      return direction * order;
    });
    start = 0;
    showRows();
  };

  headings.forEach((heading, column) => {
    heading.querySelector('button')?.addEventListener('click', () => {
      const before = heading.getAttribute('aria-sort');
      // Names rise at first, numbers fall.
      const isRising = before === null ? column === 0 : before === 'descending';
      for (const other of headings) other.removeAttribute('aria-sort');
      heading.setAttribute('aria-sort', isRising ? 'ascending' : 'descending');
      sortRows(column, isRising ? 1 : -1);
    });
  });
  filter.addEventListener('input', () => {
    start = 0;
    showRows();
  });
  previous?.addEventListener('click', () => {
    start -= PAGE;
    showRows();
  });
  next?.addEventListener('click', () => {
    start += PAGE;
    showRows();
  });
  showRows();
})();
