// What DiracX-Web asks of the server, in its order and form: its sources are in DIRACGrid/diracx-web.
const CLIENT = "myDIRACClientID";
const BACK = `${location.origin}/#authentication-callback`;

const say = (words) => { document.getElementById("said").textContent = JSON.stringify(words); };
const coded = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function login(vo, group) {
  const openid = await (await fetch("/.well-known/openid-configuration")).json();
  const verifier = coded(crypto.getRandomValues(new Uint8Array(48)));
  const state = coded(crypto.getRandomValues(new Uint8Array(16)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  sessionStorage.setItem("login", JSON.stringify({ verifier, state, token: openid.token_endpoint }));
  const query = new URLSearchParams({
    client_id: CLIENT, redirect_uri: BACK, response_type: "code", scope: `vo:${vo} group:${group}`,
    code_challenge: coded(digest), code_challenge_method: "S256", state,
  });
  location.href = `${openid.authorization_endpoint}?${query}`;
}

async function collect() {
  const given = new URLSearchParams(location.hash.split("?")[1]);
  const begun = JSON.parse(sessionStorage.getItem("login"));
  if (given.get("state") !== begun.state) throw new Error("another login");
  const form = new URLSearchParams({
    grant_type: "authorization_code", client_id: CLIENT, redirect_uri: BACK,
    code: given.get("code"), code_verifier: begun.verifier,
  });
  const tokens = await (await fetch(begun.token, { method: "POST", body: form })).json();
  sessionStorage.setItem("tokens", JSON.stringify(tokens));
  history.replaceState(null, "", "/");
}

async function call(method, path, body) {
  const { access_token } = JSON.parse(sessionStorage.getItem("tokens"));
  const headers = { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  return answer;
}

const newest = { sort: [{ parameter: "JobID", direction: "desc" }] };
const search = async (body) => (await call("POST", "/api/jobs/search?page=1&per_page=25", body)).json();
const set = async (job, Status, MinorStatus, seconds) => {
  const at = new Date(Date.now() + seconds * 1000).toISOString();
  const done = await call("PATCH", "/api/jobs/status", { [job]: { [at]: { Status, MinorStatus, Source: "JobManager" } } });
  return done.json();
};
const first = () => Number(new URLSearchParams(location.search).get("job"));

const DO = {
  async Who() {
    const { access_token } = JSON.parse(sessionStorage.getItem("tokens"));
    return JSON.parse(atob(access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).preferred_username;
  },
  async Table() {
    const answer = await call("POST", "/api/jobs/search?page=1&per_page=2", newest);
    return [answer.headers.get("Content-Range"), (await answer.json()).map((job) => job.Status)];
  },
  async Filter() {
    const like = { parameter: "JobName", operator: "like", value: "%second%" };
    return (await search({ ...newest, search: [like] })).map((job) => job.JobName);
  },
  async Donut() {
    const answer = await call("POST", "/api/jobs/summary", { grouping: ["Status"], search: [] });
    return Object.fromEntries((await answer.json()).map((one) => [one.Status, one.count]));
  },
  async History() {
    const search = [{ parameter: "JobID", operator: "eq", value: first() }];
    const [told] = await (await call("POST", "/api/jobs/search", { parameters: ["LoggingInfo"], search })).json();
    return told.LoggingInfo.map((one) => one.Status);
  },
  async Kill() { return (await set(first(), "Killed", "Marked for termination", 1)).success; },
  async Reschedule() {
    return (await (await call("POST", "/api/jobs/reschedule", { job_ids: [first()] })).json()).success;
  },
  async Delete() { return (await set(first(), "Deleted", "Checking accounting", 5)).success; },
  async Sandbox() {
    const [pfn] = await (await call("GET", `/api/jobs/${first()}/sandbox/output`)).json();
    const { url } = await (await call("GET", `/api/jobs/sandbox?pfn=${encodeURIComponent(pfn)}`)).json();
    return (await fetch(url)).text();
  },
  async Logout() {
    const { refresh_token } = JSON.parse(sessionStorage.getItem("tokens"));
    const form = new URLSearchParams({ token: refresh_token, token_type_hint: "refresh_token", client_id: CLIENT });
    return (await fetch("/api/auth/revoke", { method: "POST", body: form })).status;
  },
};

function add(name, act) {
  const button = document.createElement("button");
  button.textContent = name;
  button.addEventListener("click", act);
  document.getElementById("buttons").append(button, " ");
}

async function start() {
  if (location.hash.startsWith("#authentication-callback")) await collect();
  if (sessionStorage.getItem("tokens")) {
    for (const [name, act] of Object.entries(DO)) add(name, async () => { say("..."); say(await act()); });
    return;
  }
  const known = await (await fetch("/.well-known/dirac-metadata")).json();
  for (const [vo, about] of Object.entries(known.virtual_organizations)) {
    add(`Log in to ${vo}`, () => login(vo, about.default_group));
  }
}

start();
