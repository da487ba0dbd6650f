// SPDX-License-Identifier: MIT
// FramePairs and FrameFeatures for openmmgrad.trajectory_loops: arrays in and out, Python's lock released.
%{
#include "FrameFeatures.h"
#include "FramePairs.h"

namespace {

/** Frames of N atoms are 3N numbers long, boxes 9. */
int countFrames(int count, int boxCount, int numAtoms) {
    if (numAtoms < 1 || count % (3 * static_cast<long long>(numAtoms)) != 0 || count / (3 * numAtoms) * 9 != boxCount)
        throw OpenMM::OpenMMException(
            "openmmgrad.plugin: positions of shape [S, N, 3] and boxes of shape [S, 3, 3] were expected.");
    return boxCount / 9;
}

template <class Number> PyObject* bytesOf(const std::vector<Number>& numbers) {
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number));
}

} // namespace
%}

%apply (const double* values, int count) { (const double* boxes, int boxCount), (const double* edges, int edgeCount) };
%apply (double* values, int count) { (double* counts, int countCount), (double* features, int featureCount),
                                     (double* virial, int virialCount) };

RELEASE_GIL(OpenMMGrad::FramePairs::countDistances)
RELEASE_GIL(OpenMMGrad::FrameFeatures::compute)

namespace OpenMMGrad {

class FramePairs {
public:
    %extend {
        FramePairs(const int* values, int count, const int* set2, int count2) {
            return new OpenMMGrad::FramePairs(std::vector<int>(values, values + count),
                                              std::vector<int>(set2, set2 + count2));
        }
        void countDistances(const double* values, int count, const double* boxes, int boxCount, int numAtoms,
                            const double* edges, int edgeCount, int numThreads, double* counts, int countCount) {
            const int numFrames = countFrames(count, boxCount, numAtoms);
            if (countCount != static_cast<long long>(numFrames) * (edgeCount - 1))
                throw OpenMM::OpenMMException("openmmgrad.plugin: counts of shape [S, B] were expected.");
            $self->countDistances(values, boxes, numFrames, numAtoms, std::vector<double>(edges, edges + edgeCount),
                                  numThreads, counts);
        }
        /** Bytes of int32, i, j, i, j, .., and of double. */
        PyObject* findWithin(const double* values, int count, const double* boxes, int boxCount, int numAtoms,
                             double distance) {
            std::vector<int> pairs;
            std::vector<double> distances;
            {
                ReleaseGil release;
                if (countFrames(count, boxCount, numAtoms) != 1)
                    throw OpenMM::OpenMMException("openmmgrad.plugin: one frame was expected.");
                $self->findWithin(values, boxes, numAtoms, distance, pairs, distances);
            }
            return Py_BuildValue("NN", bytesOf(pairs), bytesOf(distances));
        }
    }
};

class FrameFeatures {
public:
    explicit FrameFeatures(const LearnablePairForce& force);
    int getNumParticles() const;
    int getNumFeatures() const;
    %extend {
        void compute(const double* values, int count, const double* boxes, int boxCount, int numThreads,
                     double* features, int featureCount, double* virial, int virialCount) {
            const int numFrames = countFrames(count, boxCount, $self->getNumParticles());
            const long long size = static_cast<long long>(numFrames) * $self->getNumFeatures();
            if (featureCount != size || virialCount != size)
                throw OpenMM::OpenMMException("openmmgrad.plugin: results of shape [S, F] were expected.");
            $self->compute(values, boxes, numFrames, numThreads, features, virial);
        }
    }
};

}
