// The live page: figures and verdicts as they come. Without it the page comes anew every five seconds.
"use strict";
(() => {
  const room = document.querySelector("[data-live]");
  if (!room || !window.EventSource) return;
})();
