/** The native surface, as `bindings/` exports it. Nothing outside `lib/native` and `lib/tensor` sees it. */
export interface NativeAddon {
  /** Version of the package that the addon was built from. */
  version(): string;
}
