/* Runs the networks srresnet and srcnn, and degrades pictures: functions of numbers alone, in the page and in a worker.

   An image is { width, height, planes }: planes a Float32Array of its three colours one after the other, values 0 to 1.
   Feature maps are kept with a border of one zero around each plane, so that a 3 x 3 convolution asks for no edges. */
function makeNetwork() {
  "use strict";
  const TAPS = 9;
  const MAX_PSNR = 100; // dB, of equal images
  const TYPES = { float32: Float32Array, int32: Int32Array, int16: Int16Array, uint8: Uint8Array };

  /* The numbers that faig.page.networks.pack wrote: first bytes first, deflated, base64. */
  async function unpack(packed) {
    const text = atob(packed.content);
    const deflated = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const type = TYPES[packed.type];
    const size = type.BYTES_PER_ELEMENT;
    const bytes = new Uint8Array(planes.length);
    for (let byte = 0; byte < size; byte++)
      for (let n = 0; n < packed.length; n++) bytes[n * size + byte] = planes[byte * packed.length + n];
    if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1)
      for (let n = 0; n < packed.length; n++) bytes.subarray(n * size, (n + 1) * size).reverse(); // big-endian machine
    return new type(bytes.buffer);
  }

  /* A network from the page's data: weights by convolution, and where the kernels of the dials' filters lie. */
  async function load(data) {
    const [weights, kernels, ...dials] = await Promise.all(
      [data.weights, data.baseline, ...data.dials.map((dial) => dial.filters)].map(unpack)
    );
    const convolutions = {};
    const starts = []; // of each convolution: its first filter, and where its weights begin
    let first = 0;
    let offset = 0;
    for (const { name, outputs, inputs } of data.convolutions) {
      const size = outputs * inputs * TAPS;
      convolutions[name] = { outputs, inputs, offset, bias: offset + size };
      starts.push({ first, offset });
      first += outputs * inputs;
      offset += size + outputs;
    }
    const filters = Array.from(new Set(dials.flatMap((each) => Array.from(each)))).sort((a, b) => a - b);
    const places = new Map();
    let layer = 0;
    filters.forEach((filter, number) => {
      while (layer + 1 < starts.length && starts[layer + 1].first <= filter) layer++;
      places.set(filter, { number, offset: starts[layer].offset + (filter - starts[layer].first) * TAPS });
    });
    return { plan: data.plan, scale: data.scale, convolutions, weights, kernels, dials, places };
  }

  /* The target's weights with each dial's filters at baseline + lambda (target - baseline), products where dials meet.
     All lambdas 1 give the target bit for bit, 0 the baseline's kernels. */
  function modulate(network, lambdas) {
    const factors = new Map();
    network.dials.forEach((filters, dial) => {
      for (const filter of filters) factors.set(filter, (factors.has(filter) ? factors.get(filter) : 1) * lambdas[dial]);
    });
    const weights = network.weights.slice();
    for (const [filter, factor] of factors) {
      const { number, offset } = network.places.get(filter);
      for (let tap = 0; factor !== 1 && tap < TAPS; tap++) {
        const start = network.kernels[number * TAPS + tap];
        weights[offset + tap] = start + factor * (network.weights[offset + tap] - start);
      }
    }
    return weights;
  }

  function blank(channels, width, height) {
    return { channels, width, height, values: new Float32Array(channels * (width + 2) * (height + 2)) };
  }

  /* 3 x 3, zero padded. The inner loop runs along a row with a kernel's nine weights and the last two columns of three
     input rows in locals: each value is read once, 3.5e9 multiplications a second where they were counted. */
  function convolve(input, weights, { outputs, inputs, offset, bias }) {
    const { width, height } = input;
    const from = input.values;
    const result = blank(outputs, width, height);
    const to = result.values;
    const stride = width + 2;
    const plane = stride * (height + 2);
    for (let out = 0; out < outputs; out++) {
      const base = out * plane + stride + 1;
      for (let y = 0; y < height; y++) to.fill(weights[bias + out], base + y * stride, base + y * stride + width);
      for (let inp = 0; inp < inputs; inp++) {
        const k = offset + (out * inputs + inp) * TAPS;
        const w0 = weights[k], w1 = weights[k + 1], w2 = weights[k + 2];
        const w3 = weights[k + 3], w4 = weights[k + 4], w5 = weights[k + 5];
        const w6 = weights[k + 6], w7 = weights[k + 7], w8 = weights[k + 8];
        for (let y = 0; y < height; y++) {
          const p = inp * plane + y * stride, q = p + stride, r = q + stride;
          const target = base + y * stride;
          let a0 = from[p], a1 = from[p + 1], b0 = from[q], b1 = from[q + 1], c0 = from[r], c1 = from[r + 1];
          for (let x = 0; x < width; x++) {
            const a2 = from[p + x + 2], b2 = from[q + x + 2], c2 = from[r + x + 2];
            to[target + x] += w0 * a0 + w1 * a1 + w2 * a2 + w3 * b0 + w4 * b1 + w5 * b2 + w6 * c0 + w7 * c1 + w8 * c2;
            a0 = a1; a1 = a2; b0 = b1; b1 = b2; c0 = c1; c1 = c2;
          }
        }
      }
    }
    return result;
  }

  function rectify(features, slope) {
    const { values } = features;
    for (let n = 0; n < values.length; n++) if (values[n] < 0) values[n] *= slope;
    return features;
  }

  /* (step^2 C, H, W) -> (C, step H, step W). */
  function shuffle(features, step) {
    const { width, height, values } = features;
    const result = blank(features.channels / (step * step), width * step, height * step);
    const stride = width + 2, plane = stride * (height + 2);
    const wide = result.width + 2, large = wide * (result.height + 2);
    for (let channel = 0; channel < features.channels; channel++) {
      const dy = Math.floor((channel % (step * step)) / step), dx = channel % step;
      const base = Math.floor(channel / (step * step)) * large;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          result.values[base + (y * step + dy + 1) * wide + x * step + dx + 1] =
            values[channel * plane + (y + 1) * stride + x + 1];
    }
    return result;
  }

  /* Twice the same along rows and columns: PyTorch's bilinear interpolation without aligned corners. */
  function bilinear(image, scale) {
    const weights = (size) =>
      Array.from({ length: size * scale }, (_, n) => {
        const place = Math.max((n + 0.5) / scale - 0.5, 0);
        const low = Math.floor(place);
        return [[low, 1 - (place - low)], [Math.min(low + 1, size - 1), place - low]];
      });
    return resample(image, weights(image.width), weights(image.height));
  }

  /* Keys' cubic with a = -0.5, widened where an image is made smaller, edges mirrored: MATLAB's imresize. */
  function bicubic(image, width, height) {
    const cubic = (x) => {
      const t = Math.abs(x);
      return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
    };
    const weights = (from, to) => {
      const widening = Math.max(from / to, 1);
      return Array.from({ length: to }, (_, n) => {
        const centre = ((n + 0.5) * from) / to - 0.5;
        const taps = [];
        for (let k = Math.ceil(centre - 2 * widening); k <= centre + 2 * widening; k++)
          taps.push([mirror(k, from), cubic((k - centre) / widening)]);
        return normal(taps);
      });
    };
    return resample(image, weights(image.width, width), weights(image.height, height));
  }

  function area(image, scale) {
    const weights = (size) =>
      Array.from({ length: size / scale }, (_, n) => Array.from({ length: scale }, (_, k) => [n * scale + k, 1 / scale]));
    return resample(image, weights(image.width), weights(image.height));
  }

  function blur(image, sigma) {
    if (!(sigma > 0)) return image;
    const reach = Math.ceil(3 * sigma);
    const weights = (size) =>
      Array.from({ length: size }, (_, n) =>
        normal(
          Array.from({ length: 2 * reach + 1 }, (_, k) => [
            mirror(n + k - reach, size),
            Math.exp(-0.5 * ((k - reach) / sigma) ** 2),
          ])
        )
      );
    return resample(image, weights(image.width), weights(image.height));
  }

  /* Gaussian noise, the same at every call. */
  function addNoise(image, sigma) {
    let state = 123456789;
    const uniform = () => { // xorshift (Marsaglia 2003)
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 4294967296; // never 0
    };
    const planes = image.planes.map((value) =>
      value + sigma * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
    return { ...image, planes };
  }

  function mirror(place, size) {
    const period = 2 * size;
    const within = ((place % period) + period) % period;
    return within < size ? within : period - 1 - within;
  }

  function normal(taps) {
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([place, weight]) => [place, weight / sum]);
  }

  /* Each new column, then each new row, is a weighted sum of old ones: [[place, weight], ...] of each. */
  function resample(image, columns, rows) {
    const { width, height, planes } = image;
    const size = { width: columns.length, height: rows.length };
    const between = new Float64Array(3 * height * size.width);
    for (let y = 0; y < 3 * height; y++)
      columns.forEach((taps, x) => {
        let sum = 0;
        for (const [place, weight] of taps) sum += weight * planes[y * width + place];
        between[y * size.width + x] = sum;
      });
    const result = new Float32Array(3 * size.width * size.height);
    for (let colour = 0; colour < 3; colour++)
      rows.forEach((taps, y) => {
        for (let x = 0; x < size.width; x++) {
          let sum = 0;
          for (const [place, weight] of taps) sum += weight * between[(colour * height + place) * size.width + x];
          result[(colour * size.height + y) * size.width + x] = sum;
        }
      });
    return { ...size, planes: result };
  }

  function padded(image) {
    const features = blank(3, image.width, image.height);
    each(features, (place, at) => (features.values[place] = image.planes[at]));
    return features;
  }

  /* Calls visit(place in the padded planes, place in planes without a border) for each value. */
  function each({ channels, width, height }, visit) {
    let at = 0;
    for (let row = 0; row < channels * height; row++) {
      const start = (row + 2 * Math.floor(row / height) + 1) * (width + 2) + 1;
      for (let x = 0; x < width; x++) visit(start + x, at++);
    }
  }

  /* What the network makes of an image, not clipped; weights as modulate gives them. */
  function restore(network, weights, image) {
    let features = padded(image);
    const kept = [];
    let base = null;
    for (const step of network.plan) {
      if (step.do === "base") base = bilinear(image, network.scale);
      else if (step.do === "keep") kept.push(features);
      else if (step.do === "add") {
        const before = kept.pop().values;
        for (let n = 0; n < before.length; n++) features.values[n] += before[n];
      } else if (step.do === "shuffle") features = shuffle(features, step.step);
      else if (step.do === "rectify") features = rectify(features, step.slope);
      else features = convolve(features, weights, network.convolutions[step.name]);
    }
    const planes = new Float32Array(3 * features.width * features.height);
    each(features, (place, at) => (planes[at] = features.values[place] + (base === null ? 0 : base.planes[at])));
    return { width: features.width, height: features.height, planes };
  }

  /* A grey level, 0 to 255: clipped, rounded, halves to even. */
  function level(value) {
    const scaled = Math.fround(Math.min(Math.max(value, 0), 1) * 255);
    const below = Math.floor(scaled);
    if (scaled - below !== 0.5) return Math.round(scaled);
    return below + (below % 2);
  }

  /* PSNR over RGB in dB of two images rounded to 8 bits, without a border of so many pixels; null if nothing is left. */
  function psnr(first, second, border) {
    const { width, height } = first;
    let sum = 0;
    let count = 0;
    for (let colour = 0; colour < 3; colour++)
      for (let y = border; y < height - border; y++)
        for (let x = border; x < width - border; x++) {
          const place = (colour * height + y) * width + x;
          sum += (level(first.planes[place]) - level(second.planes[place])) ** 2;
          count++;
        }
    if (count === 0) return null;
    return sum === 0 ? MAX_PSNR : Math.min(10 * Math.log10((255 * 255 * count) / sum), MAX_PSNR);
  }

  function rounded(image) {
    return { ...image, planes: image.planes.map((value) => level(value) / 255) };
  }

  /* An image's LR: blurred, made smaller, noisy, rounded to 8 bits. Sides must be multiples of the scale. */
  function degrade(image, scale, { filter, sigma, noise }) {
    const blurred = blur(image, sigma);
    const { width, height } = image;
    const small =
      scale === 1 ? blurred : filter === "area" ? area(blurred, scale) : bicubic(blurred, width / scale, height / scale);
    return rounded(noise > 0 ? addNoise(small, noise) : small);
  }

  function enlarge(image, scale) {
    return bicubic(image, image.width * scale, image.height * scale);
  }

  return { unpack, load, modulate, restore, psnr, degrade, enlarge, level };
}
