(() => {
  const faults = [];
  const say = (one, what) => faults.push(`${what}: ${one.tagName.toLowerCase()}` +
    (one.id ? '#' + one.id : '') + (one.className ? '.' + one.className : '') +
    ` “${(one.innerText || one.value || '').trim().slice(0, 40)}”`);
  const HAN = /[\u3400-\u9fff]/, WORDS = /[A-Za-z]{2,}[ ,]+[a-z]{2,}/;

  // Colours, as the browser has resolved them, over what lies behind.
  const parse = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return found.length > 3 ? found : [...found, 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  const behind = (one) => {
    if (!one) return canvas;
    const own = parse(getComputedStyle(one).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(one.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const seen = (one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true}) &&
    one.getClientRects().length > 0;
  const offscreen = (one) => one.getBoundingClientRect().right <= 0;
  const legible = (one, style, where) => {
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const back = behind(one);
    const found = contrast(over(parse(style.color), back), back);
    if (found < least) say(one, `contrast ${found.toFixed(2)} of ${where}`);
    if (size < 12) say(one, `text of ${size}px`);
  };

  if (document.documentElement.lang !== 'zh-CN') faults.push('the page is not in zh-CN');
  if (!HAN.test(document.title)) faults.push('the title is not in Chinese');
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), one = walker.currentNode.parentElement;
    if (!text || !seen(one)) continue;
    if (!offscreen(one)) legible(one, getComputedStyle(one), 'text');
    const english = one.closest('[lang]').lang === 'en';
    if (WORDS.test(text) && !HAN.test(text) && !english && !one.closest('.who')) say(one, 'English that is not marked');
  }
  for (const one of document.querySelectorAll('body *')) {
    if (!seen(one)) continue;
    for (const part of ['::before', '::after']) {
      const style = getComputedStyle(one, part);
      if (!['none', 'normal', '""'].includes(style.content)) legible(one, style, part);
    }
  }
  for (const one of document.querySelectorAll('[lang=en]')) {
    const around = one.parentElement.textContent + one.parentElement.parentElement.textContent;
    if (!HAN.test(around)) say(one, 'English without Chinese');
  }

  // Structure.
  for (const [what, count] of [['h1', 1], ['main', 1], ['body > header', 1], ['.skip', 1]])
    if (document.querySelectorAll(what).length !== count) faults.push(`not ${count} ${what}`);
  for (const one of document.querySelectorAll('nav'))
    if (!one.getAttribute('aria-label')) say(one, 'unnamed navigation');
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const now = Number(one.tagName[1]);
    if (now > level + 1) say(one, `heading of level ${now} after ${level}`);
    level = now;
  }
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`two of #${id}`);
  for (const one of document.querySelectorAll('table')) {
    for (const cell of one.querySelectorAll('thead th'))
      if (cell.scope !== 'col' || !cell.textContent.trim()) say(cell, 'column without a name');
    for (const row of one.querySelectorAll('tbody tr'))
      if (!row.querySelector('th[scope=row]')) say(row, 'row without a name');
  }
  for (const one of document.querySelectorAll('ul, ol'))
    for (const item of one.children) if (item.tagName !== 'LI') say(item, 'no item of a list');
  for (const one of document.querySelectorAll('.refusal'))
    if (!['alert', 'status'].includes(one.getAttribute('role'))) say(one, 'a refusal is not announced');

  // What is wrong is bound to where it is.
  for (const one of document.querySelectorAll('[aria-invalid=true]')) {
    const told = (one.getAttribute('aria-describedby') || '').split(' ')
      .map((id) => document.getElementById(id));
    if (!told.length || told.some((it) => !it || !it.textContent.trim())) say(one, 'a fault is not told');
  }
  for (const one of document.querySelectorAll('[aria-describedby], [aria-labelledby]'))
    for (const name of ['aria-describedby', 'aria-labelledby'])
      for (const id of (one.getAttribute(name) || '').split(' ').filter(Boolean))
        if (!document.getElementById(id)) say(one, `${name} leads nowhere (${id})`);

  // Nothing is told by colour alone.
  for (const one of document.querySelectorAll('.state, .mark, .verdict h2'))
    if (!HAN.test(one.textContent)) say(one, 'a state without words');
  for (const one of document.querySelectorAll('time.late'))
    if (!one.parentElement.textContent.includes('已超期')) say(one, 'late by its colour alone');
  for (const one of document.querySelectorAll('main a')) {
    const style = getComputedStyle(one);
    const bounded = parseFloat(style.borderTopWidth) > 0;
    if (seen(one) && !style.textDecorationLine.includes('underline') && !bounded)
      say(one, 'a link by its colour alone');
  }

  // Controls.
  for (const one of document.querySelectorAll('CONTROLS')) {
    if (!seen(one)) continue;
    if (one.tabIndex > 0) say(one, 'out of the reading order');
    const box = one.getBoundingClientRect();
    if (!offscreen(one) && (box.width < 23.99 || box.height < 23.99))
      say(one, `target of ${Math.round(box.width)} × ${Math.round(box.height)}`);
    const style = getComputedStyle(one), outside = behind(one.parentElement);
    if (['INPUT', 'SELECT', 'TEXTAREA'].includes(one.tagName)) {
      if (!['checkbox', 'radio'].includes(one.type)) {
        const border = parse(style.borderTopColor);
        const found = Math.max(contrast(over(border, outside), outside), contrast(behind(one), outside));
        if (found < 3) say(one, `contrast ${found.toFixed(2)} of its edge`);
        legible(one, style, 'its value');
      }
      if (one.placeholder) legible(one, getComputedStyle(one, '::placeholder'), 'its hint');
      if (/principal\.(name|phone)$/.test(one.name) && !one.autocomplete) say(one, 'no autocomplete');
    }
  }
  return faults;
})()
