(() => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return null;
  const all = [...document.querySelectorAll('*')];
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  const at = document.elementFromPoint(
    Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1),
    Math.min(Math.max(box.top + box.height / 2, 0), innerHeight - 1));
  return {
    place: all.indexOf(one),
    name: `${one.tagName.toLowerCase()} ${one.id || one.name || ''} ${(one.innerText || '').trim().slice(0, 30)}`,
    outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
    inside: box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
    covered: !(at && (one === at || one.contains(at) || at.contains(one))),
  };
})()
