// What htmx does not know of our pages: they rest while nobody looks, and what was opened stays open.
document.addEventListener("htmx:config:request", (event) => {
  const source = event.detail.ctx && event.detail.ctx.sourceElement;
  if (document.hidden && source && source.id.startsWith("poll-")) event.preventDefault();
});
document.addEventListener("htmx:before:morph:attr", (event) => {
  if (event.target.tagName === "DETAILS" && event.detail.attrName === "open") event.preventDefault();
});
