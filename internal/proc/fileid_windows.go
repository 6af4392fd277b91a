package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// identifyFile tells a file from any other of its volume.
func identifyFile(path string) (id string) {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var s windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &s); err != nil {
		return ""
	}
	return fmt.Sprint(s.VolumeSerialNumber, s.FileIndexHigh, s.FileIndexLow, s.FileSizeHigh, s.FileSizeLow, s.LastWriteTime.Nanoseconds())
}
