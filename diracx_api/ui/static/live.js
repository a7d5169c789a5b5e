// What htmx does not know of our pages: they rest while nobody looks, and say when they are not new.
let renewed = new Date();
document.addEventListener("htmx:config:request", (event) => {
  const source = event.detail.ctx && event.detail.ctx.sourceElement;
  if (document.hidden && source && source.id.startsWith("poll-")) event.preventDefault();
});
document.addEventListener("htmx:finally:request", (event) => {
  const answer = event.detail.ctx.response, isNone = !answer || answer.status >= 500;
  if (!isNone) renewed = new Date();
  const what = answer ? `answers ${answer.status}` : "does not answer", when = renewed.toISOString().slice(11, 19);
  document.getElementById("stale").textContent = isNone ? `Not renewed since ${when} UTC: the server ${what}. It is asked again.` : "";
});
