// What htmx does not know of our pages: they rest while nobody looks.
document.addEventListener("htmx:config:request", (event) => {
  const source = event.detail.ctx && event.detail.ctx.sourceElement;
  if (document.hidden && source && source.id.startsWith("poll-")) event.preventDefault();
});
