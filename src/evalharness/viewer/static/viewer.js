// The arrow keys go from sample to sample, unless they are needed where the focus is.
"use strict";
document.addEventListener("keydown", (event) => {
  const id = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  const isFree = document.activeElement === document.body || document.activeElement.id === "main";
  if (!id || !isFree || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const link = document.getElementById(id);
  if (link) window.location.assign(link.href);
});
