// The theme is set before anything is drawn, so that nothing flashes.
'use strict';
(() => {
  let kept = null;
  try { kept = localStorage.getItem('shapebus.theme'); } catch { /* a browser that keeps nothing has its own theme */ }
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
})();
