// Follows what the jobs of a workflow print. What users' programs print becomes text, never markup.
(() => {
  const MOST = 5000, WAITING = 500, TAIL = 200, NEAR = 40, LONGEST = 4000;
  const box = document.getElementById("live-log");
  if (!box || !window.EventSource) return;
  const lines = document.getElementById("live-lines"), state = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  const known = new Map();
  let waiting = [], leftOut = 0, following = "", isPaused = false, isOver = false;

  // What of a whole text is new to whoever has read some of it before the connection broke.
  function fresh(before, text) {
    const tail = before.slice(-TAIL), at = tail ? text.lastIndexOf(tail) : -1;
    return at < 0 ? text : text.slice(at + tail.length);
  }

  function line(place) {
    const found = document.createElement("div"), who = document.createElement("span");
    const what = document.createElement("span");
    who.className = "place";
    who.textContent = place;
    found.append(who, what);
    lines.append(found);
    return what;
  }

  function print(one) {
    const key = `${one.job_id}/${one.attempt}`;
    const job = known.get(key) || { read: "", open: null };
    const text = one.whole ? fresh(job.read, one.text) : one.text;
    job.read = (job.read + text).slice(-TAIL);
    const parts = text.split("\n");
    parts.forEach((part, number) => {
      const isLast = number === parts.length - 1;
      if (isLast && !part) return;
      if (!job.open || !job.open.isConnected) job.open = line(one.place);
      // A bar of progress never ends its line.
      job.open.textContent = (job.open.textContent + part).slice(-LONGEST);
      if (!isLast) job.open = null;
    });
    if (one.final) {
      line(one.place).textContent = `— ${one.status} —`;
      job.open = null;
    }
    known.set(key, job);
  }

  function show(some) {
    const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < NEAR;
    some.forEach(print);
    while (lines.childElementCount > MOST) lines.firstElementChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
  }

  function tell() {
    const words = isPaused ? `paused, ${waiting.length + leftOut} more to come` : following;
    state.textContent = leftOut && isPaused ? `${words}, ${leftOut} of them are not kept` : words;
  }

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) {
      show(waiting);
      waiting = [];
      leftOut = 0;
    }
    tell();
  });

  const source = new EventSource(box.dataset.from);
  source.addEventListener("log", (event) => {
    const one = JSON.parse(event.data);
    if (!isPaused) return show([one]);
    waiting.push(one);
    if (waiting.length > WAITING) {
      waiting.shift();
      leftOut += 1;
    }
    tell();
  });
  source.addEventListener("following", (event) => {
    const found = JSON.parse(event.data), count = found.jobs.length;
    following = found.running > count ? `${count} of ${found.running} running jobs` : count === 1 ? "1 running job" : `${count} running jobs`;
    tell();
  });
  source.addEventListener("state", (event) => {
    const found = JSON.parse(event.data);
    document.title = document.title.replace(/^\S+/, found.status);
  });
  source.addEventListener("end", (event) => {
    isOver = true;
    source.close();
    following = `the workflow is ${JSON.parse(event.data).status}`;
    tell();
  });
  source.addEventListener("open", () => {
    box.hidden = false;
    // What goes on is above now.
    document.querySelectorAll("[data-goes-on]").forEach((one) => one.remove());
  });
  source.addEventListener("error", () => {
    if (isOver) return;
    following = source.readyState === EventSource.CLOSED ? "not connected: load the page again" : "connecting again";
    tell();
  });
})();
