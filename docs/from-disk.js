// The search works in a worker, which browsers do not start for pages read from disk: there it gets a frame.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = Object.assign(document.createElement("iframe"), {hidden: true});
      document.body.append(frame);
      this.inner = frame.contentWindow;
      this.postMessage = data => this.inner.dispatchEvent(new MessageEvent("message", {data}));
      this.inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      // Scripts are loaded one after the other, and messages before the first is there would be lost.
      const loaded = [], send = this.postMessage;
      this.postMessage = data => loaded.push(data);
      this.inner.importScripts = (...urls) => Promise.all(urls.map(one => this.load(one)));
      this.load(url).then(() => { this.postMessage = send; loaded.forEach(send); });
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script");
        Object.assign(script, {src: url, onload: resolve, onerror: reject});
        this.inner.document.body.append(script);
      });
    }
  };
}
